"""Backbones for other programs load as they say, and give the same features."""

import numpy as np
import pytest
import torch

import twofold
from tests.conftest import tiny
from twofold.errors import UsageError
from twofold.outputs.export import export


def run_lines(text):
    """Execute the lines that an export prints for its user; the model they load."""
    lines = [line.strip() for line in text.splitlines()[1:]]
    names = {}
    exec("\n".join(lines), names)
    return names["model"].eval()


@pytest.fixture(scope="module")
def full_width(tmp_path_factory):
    out = tmp_path_factory.mktemp("full") / "run"
    settings = {**tiny("simclr"), "backbone_arguments": {}, "limit": 32, "batch_size": 32, "epochs": 1, "knn_every": 0}
    return twofold.pretrain(out=out, quiet=True, **settings)


@pytest.mark.parametrize("kind", ["timm", "torchvision"])
def test_exports_load_as_they_say(kind, full_width, tmp_path):
    said = export(full_width, tmp_path / "weights.safetensors", kind)
    mean = ", ".join(f"{value:.4g}" for value in full_width.spec.mean)
    assert f"images are 8 x 8 pixels, resized by the bicubic filter, from 0 to 1, less the mean ({mean})" in said
    images = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(run_lines(said)(images), twofold.load_backbone(full_width)(images))


def test_torchvision_gets_only_what_it_has(finished, tmp_path):
    with pytest.raises(UsageError, match="torchvision has no resnet18 with"):
        export(finished, tmp_path / "weights.safetensors", "torchvision")


@pytest.mark.filterwarnings("ignore")
def test_onnx(finished, tmp_path):
    import onnx
    from onnx.reference import ReferenceEvaluator

    export(finished, tmp_path / "backbone.onnx", "onnx")
    model = onnx.load(tmp_path / "backbone.onnx")
    images = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)  # another batch size than it was traced with
    (features,) = ReferenceEvaluator(model).run(None, {"images": images})
    with torch.no_grad():
        expected = twofold.load_backbone(finished)(torch.from_numpy(images))
    np.testing.assert_allclose(features, expected.numpy(), atol=1e-5)
