"""One run of a comparison: what comes of one whose features cannot be measured."""

import torch

import twofold
from tests.training.making import pretrain
from twofold.comparison.running import Shared, measures_of
from twofold.data.opening import open_data
from twofold.encoding.progress import silent
from twofold.storage import files


def test_a_run_whose_features_are_no_numbers_is_told_apart_and_stops_no_other(tmp_path):
    run = pretrain(tmp_path / "run", limit=64, epochs=1, knn_every=0)
    state = files.load(run.path / "checkpoint.pt")
    for value in state["method"].values():
        if value.is_floating_point():
            value.fill_(torch.nan)
    files.save(run.path / "checkpoint.pt", state)
    network = run.backbone()
    network.conv1.weight.data.fill_(torch.nan)
    run.write_backbone(network, run.spec)
    shared = Shared("digits", 0, "", "knn,linear", tmp_path / "features", True)
    found = measures_of(run, open_data("digits"), shared, "cpu", silent)
    assert found["ended"].startswith("pretrained: the features of 1438 of 1438 training images are not finite numbers")
    finding = twofold.diagnose(run)["findings"][0]
    assert finding["name"] == "non-finite values"
    assert finding["seen"] == "the last features and embeddings of some images are not finite"
