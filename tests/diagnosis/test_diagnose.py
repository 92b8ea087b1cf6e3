"""`twofold diagnose`: measures of features and embeddings, and what a run's history tells."""

import json
import shutil

import pytest

import twofold
from tests.diagnosis.test_doctor import pretrain
from twofold.cli import commands as cli
from twofold.errors import Diverged, UsageError


def test_a_diagnosis_tells_features_from_embeddings(tmp_path):
    finished = pretrain(tmp_path / "run", "simclr", lr=2e-3, epochs=3)
    result = twofold.diagnose(finished, images=100)
    assert result["findings"] == []
    assert list(result["measures"]) == ["untrained", "features", "embeddings"]
    assert json.loads((finished.path / "diagnosis.json").read_text()) == result
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
    run = pretrain(tmp_path / "run", "vicreg", lr=2e-3, epochs=1, measure_every=0)
    cli.main(["diagnose", str(run.path), "--images", "20"])
    assert "no step was looked at" in capsys.readouterr().out
    (run.path / "checkpoint.pt").unlink()
    with pytest.raises(UsageError, match="neither a checkpoint nor a failure"):
        twofold.diagnose(run)
