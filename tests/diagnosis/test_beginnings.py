"""What a run has lost against how it began: real runs that lose it, and rows that only look as if they did."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import twofold
from tests.conftest import TINY, tiny
from twofold.data.opening import open_data
from twofold.diagnosis.beginnings import by_evaluation, by_measures, by_scores
from twofold.diagnosis.causes import FORGETTING, WORSE
from twofold.evaluation.score import Score
from twofold.evaluation.verdict import gains
from twofold.nets.backbone import BackboneSpec
from twofold.storage import files


def rows(scores, start=None, untrained=0.5, asked=500, steps=None):
    """Rows of a run with a score every tenth step, the last one at the last step unless ``steps`` are more."""
    steps = 10 * len(scores) if steps is None else steps
    first = {"step": 0, "steps": steps, "knn_untrained": untrained, "knn_asked": asked}
    first |= {} if start is None else {"knn_start": start}
    return [first, *({"step": 10 * (i + 1) - 1, "knn": score} for i, score in enumerate(scores))]


def test_a_score_that_falls_below_the_start_and_stays_is_forgetting():
    name, since, seen = by_scores(rows([0.9, 0.8, 0.7, 0.7], start=0.9, steps=100))
    assert (name, since) == (FORGETTING, 19)
    assert seen == "kNN is 70.0%, 90.0% of the weights that the run started from"
    assert by_scores(rows([0.9, 0.9, 0.7, 0.7], start=0.9, steps=100)) is None  # not yet often enough
    assert by_scores(rows([0.9, 0.9, 0.9, 0.7], start=0.9))[1] == 39  # but it is the last word
    assert by_scores(rows([0.7, 0.7, 0.7, 0.9], start=0.9)) is None  # it has come back


def test_without_starting_weights_the_untrained_backbone_is_the_measure():
    assert by_scores(rows([0.4, 0.3, 0.3], untrained=0.5))[0] == WORSE
    assert by_scores(rows([0.6, 0.6, 0.6], untrained=0.5)) is None


@pytest.mark.parametrize(("asked", "found"), [(100, False), (2000, True)])
def test_what_chance_does_is_no_finding(asked, found):
    """Five points on a hundred images are within two deviations, on two thousand they are not."""
    assert (by_scores(rows([0.45, 0.45, 0.45], asked=asked)) is not None) == found


def test_without_labels_it_is_told_by_how_far_apart_views_are_beside_images():
    """Figures of real runs: a network adapted with batch statistics, and one that learned from scratch."""
    untrained = {"alignment": 0.045, "cosine": 0.981}
    start, adapted = {"alignment": 0.83, "cosine": 0.273}, {"alignment": 1.216, "cosine": 0.163}
    name, _, seen = by_measures({"untrained": untrained, "start": start, "features": adapted})
    assert name == FORGETTING
    assert "0.73 times as far apart as two images are, 0.57 times" in seen
    assert by_measures({"untrained": untrained, "features": adapted}) is None
    learned = {"alignment": 0.476, "cosine": 0.627}
    assert by_measures({"untrained": {"alignment": 0.184, "cosine": 0.929}, "features": learned}) is None
    assert by_measures({"untrained": learned, "features": adapted})[0] == WORSE
    assert by_measures({"untrained": {}, "features": {}}) is None


def evaluated(**rows):
    """An evaluation with 500 test images, by row: percent by representation."""

    def score(percent):
        return Score.of_share(percent / 100, 500)

    scores = {row: {who: score(percent) for who, percent in own.items()} for row, own in rows.items()}
    as_json = {row: {who: it.json() for who, it in own.items()} for row, own in scores.items()}
    return {"scores": as_json, "gains": gains(scores)}


def test_an_evaluation_tells_by_its_labels():
    """Figures of real runs: from scratch, adapted with and without a loss."""
    worse = evaluated(knn=dict(untrained=45.5, pretrained=38.8), linear=dict(untrained=47.7, pretrained=38.6))
    seen = "kNN is 38.8%, 45.5%, and the linear head is 38.6%, 47.7% of the untrained backbone"
    assert by_evaluation(worse) == (WORSE, None, seen)
    adapted = evaluated(knn=dict(untrained=44, start=83.7, pretrained=77.1), linear=dict(start=87.5, pretrained=88.9))
    assert by_evaluation(adapted)[::2] == (FORGETTING, "kNN is 77.1%, 83.7% of the weights that the run started from")
    assert by_evaluation(evaluated(knn=dict(untrained=44, start=83.7, pretrained=80.7))) is None
    assert by_evaluation(evaluated(few_5=dict(untrained=44, pretrained=20))) is None


@pytest.fixture(scope="module")
def knowing(tmp_path_factory):
    """A file of weights that know digits: the tiny backbone, after two epochs of learning their labels."""
    torch.manual_seed(0)
    data = open_data("digits").train
    images = torch.stack([torch.from_numpy(data.image(i)) for i in range(len(data))]) / 255
    labels = torch.tensor(data.labels)
    backbone = BackboneSpec(TINY["backbone"], TINY["backbone_arguments"], "small", 8, (), ()).build()
    head = nn.Linear(16, 10)
    optimizer = torch.optim.AdamW([*backbone.parameters(), *head.parameters()], 0.01)
    for rows_of_step in torch.randperm(2 * len(images)).remainder(len(images)).split(64):
        loss = nn.functional.cross_entropy(head(backbone(images[rows_of_step])), labels[rows_of_step])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    path = tmp_path_factory.mktemp("weights") / "digits.safetensors"
    save_file(backbone.state_dict(), path)
    return path


def test_a_run_that_forgets_is_told_while_it_goes_on_and_afterwards(tmp_path, knowing):
    wanted = tiny("simclr", weights=str(knowing), stem="small", image_size=8, mean=[0.0] * 3, std=[1.0] * 3, limit=0)
    kept = twofold.pretrain(out=tmp_path / "kept", quiet=True, **wanted)
    lost = twofold.pretrain(out=tmp_path / "lost", quiet=True, **wanted, backbone_lr=30.0, heads_first=0.0)
    found = {run.path.name: twofold.diagnose(run, images=50)["findings"] for run in (kept, lost)}
    assert kept.metrics[0]["knn_start"] > 0.9 > kept.metrics[0]["knn_untrained"]
    assert FORGETTING not in {finding["name"] for finding in found["kept"]}
    finding = next(finding for finding in found["lost"] if finding["name"] == FORGETTING)
    assert "--backbone-lr" in finding["advice"]
    assert FORGETTING in (lost.path / "log.txt").read_text()


def test_the_doctor_reads_the_evaluation_of_the_same_weights_and_no_other(tmp_path, knowing):
    wanted = tiny("simclr", weights=str(knowing), stem="small", image_size=8, mean=[0.0] * 3, std=[1.0] * 3, limit=0)
    wanted |= dict(knn_every=0, backbone_lr=30.0, heads_first=0.0)
    run = twofold.pretrain(out=tmp_path / "run", quiet=True, **wanted)
    twofold.evaluate(run, protocols="knn")
    found = {finding["name"]: finding["seen"] for finding in twofold.diagnose(run, images=50)["findings"]}
    assert found[FORGETTING].startswith("kNN is ")
    evaluation = run.evaluation
    assert evaluation["steps"] == len(run.metrics)
    files.write_json(run.path / "evaluation.json", evaluation | {"steps": evaluation["steps"] - 1}, indent=1)
    found = {finding["name"]: finding["seen"] for finding in twofold.diagnose(run, images=50)["findings"]}
    assert "kNN" not in found.get(FORGETTING, "")


def test_the_doctor_reads_the_evaluation_where_the_runs_own_knn_says_nothing(tmp_path):
    """It is of a sample of the training images: on TrashNet 49 after 50 percent, where test images fell by 7 points."""
    run = twofold.pretrain(out=tmp_path / "run", quiet=True, **tiny("simclr", epochs=1))
    assert "knn_asked" in run.metrics[0]
    assert WORSE not in {finding["name"] for finding in twofold.diagnose(run, images=50)["findings"]}
    evaluation = twofold.evaluate(run, protocols="linear")
    evaluation["gains"]["linear"]["value"] = -0.3
    files.write_json(run.path / "evaluation.json", evaluation, indent=1)
    (found,) = [f for f in twofold.diagnose(run, images=50)["findings"] if f["name"] == WORSE]
    assert found["seen"].startswith("the linear head is ")
