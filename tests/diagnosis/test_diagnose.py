"""`twofold diagnose`: measures of features and embeddings, and what a run's history tells."""

import shutil

import pytest
import timm
import torch
from torch import nn

import twofold
from tests.diagnosis.test_doctor import COMPLETE, DIMENSIONAL, pretrain
from twofold import cli, measures
from twofold.errors import Diverged, UsageError
from twofold.storage.files import read_json


def test_a_diagnosis_tells_features_from_embeddings(tmp_path):
    finished = pretrain(tmp_path / "run", "simclr", lr=2e-3, epochs=3)
    result = twofold.diagnose(finished, images=100)
    assert result["findings"] == []
    assert list(result["measures"]) == ["untrained", "features", "embeddings"]
    assert finished.diagnosis == result
    method = finished.method()
    images = result["images"]
    assert images["used"] == 100
    for name, width in (("features", finished.spec.features), ("embeddings", 16)):
        assert len(result["spectrum"][name]) == min(width, 100)
        assert sum(result["spectrum"][name]) == pytest.approx(1)
        assert 1 <= result["measures"][name]["rank"] <= width
    assert method.projector[-1].out_features == 16
    assert result == {**twofold.diagnose(finished, images=100), "date": result["date"]}  # always the same images


def test_the_backbone_is_built_once(finished, builds, tmp_path):
    shutil.copytree(finished.path, tmp_path / "run")
    twofold.diagnose(tmp_path / "run", images=20)
    assert builds == ["resnet18"]


def test_a_loss_that_is_no_number_is_diagnosed(tmp_path, monkeypatch):
    with pytest.raises(Diverged):
        pretrain(tmp_path / "run", "vicreg", optimizer="sgd", lr=1e20)
    result = twofold.diagnose(tmp_path / "run")
    assert result["findings"][0]["name"] == "non-finite values"
    assert result["measures"] == {}  # no checkpoint to measure


def test_what_was_not_looked_at_is_not_called_healthy(tmp_path, capsys):
    run = pretrain(tmp_path / "run", "vicreg", lr=2e-5, epochs=1, measure_every=0)
    cli.main(["diagnose", str(run.path), "--images", "20"])
    assert "no step was looked at" in capsys.readouterr().out
    (run.path / "checkpoint.pt").unlink()
    with pytest.raises(UsageError, match="neither a checkpoint nor a failure"):
        twofold.diagnose(run)


# -- without a run ----------------------------------------------------------------------------------------------------


def cloud(n=60, d=16):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


def test_embeddings_are_measured_as_they_are(tmp_path):
    """Nothing is written unless it is asked for; of many, always the same ones are looked at."""
    z = cloud()
    result = twofold.diagnose(z.numpy())
    assert result["findings"] == []
    assert result["measures"] == {"embeddings": measures.of_embeddings(z)}
    assert result["images"] == {"data": "embeddings", "used": 60, "views_of_each": 0}
    assert sum(result["spectrum"]["embeddings"]) == pytest.approx(1)
    few = twofold.diagnose(z, images=20, out=tmp_path / "d.json")
    assert few["images"]["used"] == 20
    assert read_json(tmp_path / "d.json", "") == few
    assert few["measures"] == twofold.diagnose(z, images=20)["measures"]


def test_a_collapse_is_told_from_embeddings_alone():
    """With the doctor's words; there is no step since when."""
    constant = torch.ones(60, 16) + 1e-4 * cloud()
    (found,) = twofold.diagnose(constant)["findings"]
    assert (found["name"], found["since"]) == (COMPLETE, None)
    assert "mean cosine between different images is 1.0000" in found["seen"]
    assert found["cause"]
    assert found["advice"]
    flat = cloud() * torch.tensor([1.0, 1.0] + [1e-3] * 14)
    (found,) = twofold.diagnose(flat)["findings"]
    assert (found["name"], found["since"]) == (DIMENSIONAL, None)
    assert "embeddings vary in about 2" in found["seen"]
    assert twofold.diagnose(cloud(10, 3))["findings"] == []  # so few have no more directions


@pytest.mark.parametrize("name", ["resnet18", "test_vit"])
def test_a_network_that_was_never_trained_has_not_collapsed(name):
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=0, **({"img_size": 32} if "vit" in name else {}))
    result = twofold.diagnose(network, "digits", images=40, size=32)
    assert result["findings"] == []
    assert list(result["measures"]) == ["features"]
    assert result["measures"]["features"].keys() >= {"rank", "alignment"}
    enough = name == "test_vit"  # of 64 features; five views of 40 images are too few for LiDAR of 512
    assert ("lidar" in result["measures"]["features"]) == enough
    assert result["images"] == {"data": "digits", "used": 40, "views_of_each": 5}


def test_a_network_of_one_output_has_collapsed():
    constant = nn.Sequential(nn.Flatten(), nn.Linear(192, 16).requires_grad_(False))
    constant[1].weight.zero_()
    (found,) = twofold.diagnose(constant, "digits", images=20, size=8)["findings"]
    assert found["name"] == COMPLETE


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(what=cloud(), data="digits"), "data is of no use with embeddings"),
        (dict(what=cloud()[:1]), "at least 2 rows"),
        (dict(what=cloud() * torch.inf), "not finite"),
        (dict(what=cloud(), images=1), "images must be at least 2, not 1"),
        (dict(what=cloud(), out="nowhere/x.json"), "there is no folder nowhere"),
        (dict(what=nn.Flatten(), size=8), "data is needed"),
    ],
)
def test_what_cannot_be_looked_at_is_one_line(arguments, words):
    with pytest.raises(UsageError, match=words):
        twofold.diagnose(**arguments)


def test_embeddings_that_are_all_0_have_collapsed_completely():
    """As after a ReLU that never fires."""
    for z in (torch.zeros(64, 16), torch.relu(torch.randn(64, 16, generator=torch.Generator().manual_seed(0)) - 9)):
        assert [finding["name"] for finding in twofold.diagnose(z)["findings"]] == [COMPLETE]
