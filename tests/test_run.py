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
from twofold.data.opening import open_data
from twofold.errors import UsageError
from twofold.evaluation.online import OnlineKNN

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
    said = {"name", "arguments", "stem", "size", "mean", "std", "features", "channels", "interpolation"}
    assert set(about) == said
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


SIDES = [
    ("dino", {}, "target.stages.0.", "target.stages.1."),  # by default what the authors evaluate
    ("dino", {"exported": "online"}, "backbone.", "projector."),
    ("byol", {}, "backbone.", "projector."),
    ("byol", {"exported": "target"}, "target.stages.0.", "target.stages.1."),
]


@pytest.mark.parametrize(("name", "settings", "backbone", "projector"), SIDES)
def test_one_side_of_a_method_is_exported_evaluated_and_looked_at(name, settings, backbone, projector, tmp_path):
    """The backbone's file, the kNN of the last step, the projected features: all of one side, told by its weights."""
    run = twofold.pretrain(out=tmp_path / "run", quiet=True, **tiny(name, epochs=2, **settings))
    state, exported = weights(run), run.backbone()
    assert all(torch.equal(value, state[backbone + key]) for key, value in exported.state_dict().items())
    other = "backbone." if backbone != "backbone." else "target.stages.0."
    assert not torch.equal(exported.conv1.weight, state[other + "conv1.weight"])
    knn = OnlineKNN.of(open_data("digits").limited(256).train, run.spec, torch.device("cpu"), "fp32")
    assert run.metrics[-1]["knn"] == knn.score(exported)
    method, features = run.method(), torch.randn(5, run.spec.features)
    last = [key for key in state if key.startswith(projector) and key.endswith("weight")][-1]
    given = []
    layer = method.get_submodule(last.removesuffix(".weight"))
    layer.register_forward_hook(lambda *arguments: given.append(arguments[-1]))
    assert method.project(features) is given[0]
    looked = twofold.diagnose(run, "digits", images=30)["measures"]["features"]
    alone = twofold.diagnose(exported, "digits", images=30, size=8, mean=run.spec.mean, std=run.spec.std)
    assert looked["rank"] == pytest.approx(alone["measures"]["features"]["rank"], rel=1e-4)
