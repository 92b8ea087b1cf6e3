"""What is measured: the run's own networks, by hand, and other backbones beside."""

import numpy as np
import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score

import twofold
from tests.conftest import tiny
from twofold.data.opening import open_data
from twofold.errors import UsageError
from twofold.evaluation import finetune


def test_a_baseline_takes_no_columns_name(finished):
    with pytest.raises(UsageError, match=r"untrained is a column already: name the run directory \./untrained"):
        twofold.evaluate(finished, baseline="untrained")


def test_the_backbone_is_built_once(finished, builds, monkeypatch):
    """For the untrained, the pretrained and the projector's features, and every run of fine-tuning."""
    for name, value in {"RATES": (4e-4, 1e-3), "EPOCHS": 1, "STEPS": 1, "SEEDS": 2}.items():
        monkeypatch.setattr(finetune, name, value)
    twofold.evaluate(finished, protocols="knn,finetune")
    assert builds == ["resnet18"]


def test_the_projector_is_the_methods_own(finished):
    """Its features, kept in a file, are what the method makes of the backbone's."""
    twofold.evaluate(finished, protocols="knn")
    method = finished.method()
    images = torch.from_numpy(open_data("digits").test.images).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (finished.spec.mean, finished.spec.std))
    with torch.no_grad():
        expected = method.projector(finished.backbone()((images - mean) / std))
    kept = [np.load(file)["values"] for file in finished.path.glob("features/projector-*.npz")]
    assert any(torch.allclose(torch.from_numpy(v), expected, atol=1e-4) for v in kept if len(v) == 359)


def test_prototypes_are_clusters_and_another_run_is_a_baseline(finished, tmp_path):
    run = twofold.pretrain(out=tmp_path / "swav", quiet=True, **tiny("swav", epochs=1, knn_every=0, prototypes=12))
    (run.path / "checkpoint.pt").touch()
    result = twofold.evaluate(run, protocols=("knn", "clusters"), baseline=str(finished.path))
    assert result["representations"][-1] == str(finished.path)
    assert list(result["scores"]["prototypes_nmi"]) == ["projector"]
    assert list(result["scores"]["prototypes_labels_1"]) == ["projector"]
    other = twofold.evaluate(finished, protocols="knn")["scores"]["knn"]["pretrained"]
    assert result["scores"]["knn"][str(finished.path)] == other
    # By hand: the prototype with the largest cosine, of each test image.
    method, data = run.method(), open_data("digits").test
    images = torch.from_numpy(data.images).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (run.spec.mean, run.spec.std))
    with torch.no_grad():
        z = method.projector(run.backbone()((images - mean) / std))
    weights = method.prototypes.weight.detach()
    cosines = (z / z.norm(dim=1, keepdim=True)) @ (weights / weights.norm(dim=1, keepdim=True)).T
    expected = normalized_mutual_info_score(data.labels, cosines.argmax(1))
    assert result["scores"]["prototypes_nmi"]["projector"]["value"] == pytest.approx(expected, abs=0.01)
    # The backbone is enough, for what needs no more.
    (run.path / "checkpoint.pt").unlink()
    assert "projector" not in twofold.evaluate(run, protocols="knn")["representations"]
