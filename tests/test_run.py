"""A run directory gives back what was trained, with and without twofold."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch

import twofold
from tests.conftest import tiny
from tests.training.making import weights
from twofold.errors import UsageError

PLAIN_TIMM = """
import json, sys
import numpy as np, timm, torch
folder, images, out = sys.argv[1:]
about = json.load(open(f"{folder}/backbone.json"))
model = timm.create_model(about["name"], num_classes=0, **about["arguments"])
if about["stem"] == "small":
    model.conv1 = torch.nn.Conv2d(3, model.bn1.num_features, 3, stride=1, padding=1, bias=False)
    model.maxpool = torch.nn.Identity()
timm.models.load_checkpoint(model, f"{folder}/backbone.safetensors")
x = torch.from_numpy(np.load(images)).float() / 255
mean, std = (torch.tensor(about[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
with torch.no_grad():
    np.save(out, model.eval()((x - mean) / std).numpy())
assert "twofold" not in sys.modules
"""


@pytest.mark.parametrize("backbone", ["resnet18", "test_vit"])
def test_the_backbone_loads_in_plain_timm(backbone, finished, tmp_path):
    """In a process that does not import twofold; the same features."""
    run = finished
    if backbone != "resnet18":
        settings = {**tiny("simclr"), "backbone": backbone, "backbone_arguments": {}, "image_size": 16, "epochs": 1}
        run = twofold.pretrain(out=tmp_path / "run", quiet=True, **settings)
    size = run.spec.size
    images = np.random.default_rng(0).integers(0, 256, (4, 3, size, size), np.uint8)
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, "-c", PLAIN_TIMM, run.path, tmp_path / "images.npy", tmp_path / "features.npy"]
    subprocess.run(command, check=True)
    scaled = torch.from_numpy(images).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (run.spec.mean, run.spec.std))
    with torch.no_grad():
        ours = twofold.load_backbone(run)((scaled - mean) / std)
    torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / "features.npy")), ours)
    about = json.loads((run.path / "backbone.json").read_text())
    assert set(about) == {"name", "arguments", "stem", "size", "mean", "std", "interpolation", "features"}
    if about["stem"] == "default":  # then timm needs one line
        import timm

        file = str(run.path / "backbone.safetensors")
        timm.create_model(about["name"], num_classes=0, checkpoint_path=file, **about["arguments"])


def test_the_whole_method_comes_back_from_a_run(finished):
    """With its projector, in eval mode: after it, features are what the loss saw."""
    method = finished.method()
    state = weights(finished)
    assert not method.training
    assert all(torch.equal(value, state[key]) for key, value in method.state_dict().items())
    features = torch.randn(5, finished.spec.features)
    assert torch.equal(method.project(features), method.projector(features))
    assert method.project(features).shape == (5, 16)


def test_what_a_directory_lacks_is_said(finished, tmp_path):
    with pytest.raises(UsageError, match=r"no run at .*nowhere"):
        twofold.Run.open(tmp_path / "nowhere")
    shutil.copy(finished.path / "recipe.toml", tmp_path)
    begun = twofold.Run.open(tmp_path)
    assert (begun.metrics, begun.evaluation, begun.diagnosis) == ([], None, None)
    with pytest.raises(UsageError, match="no backbone yet"):
        begun.backbone()
    with pytest.raises(UsageError, match="no checkpoint yet"):
        begun.method()


def test_its_first_weights_come_back_from_the_seed(finished):
    untrained, trained = finished.untrained(), finished.backbone()
    again = finished.untrained()
    assert not untrained.training
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in untrained.state_dict().items())
    assert not torch.equal(untrained.conv1.weight, trained.conv1.weight)


def test_timms_own_functions_prepare_its_images(finished):
    config = timm.data.resolve_model_data_config(finished.backbone())
    spec = finished.spec
    assert (config["input_size"], config["mean"], config["std"]) == ((3, 8, 8), spec.mean, spec.std)
