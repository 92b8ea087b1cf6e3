"""Backbones, heads, memory."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import twofold
from tests.conftest import tiny
from twofold.batch import Chance, View
from twofold.errors import UsageError
from twofold.nets.backbone import describe, features_of, stem_for
from twofold.nets.heads import Prototypes, mlp
from twofold.nets.memory import Bank, Queue
from twofold.nets.momentum import MomentumEncoder, shuffled


@pytest.mark.parametrize(
    ("name", "size", "stem"),
    [("resnet18", 32, "small"), ("resnet18", 64, "small"), ("resnet18", 65, "default"), ("test_resnet", 32, "small")],
)
def test_the_small_stem(name, size, stem):
    spec, said = describe(name, {}, stem_for(name, size), size)
    assert spec.stem == stem
    backbone = spec.build()
    assert bool(said) == (stem == "small")
    if stem == "small":
        assert backbone.conv1.kernel_size == (3, 3)
        assert backbone.conv1.stride == (1, 1)
        assert isinstance(backbone.maxpool, nn.Identity)
        assert backbone.forward_features(torch.zeros(1, 3, size, size)).shape[-1] == size // 8


@pytest.mark.parametrize(("size", "patch"), [(8, 2), (28, 2), (32, 4), (64, 8), (96, 12), (224, 16)])
def test_vision_transformers_fit_the_image(size, patch):
    spec, _ = describe("vit_tiny_patch16_224", {"depth": 1}, "default", size)
    backbone = spec.build()
    assert backbone.patch_embed.patch_size == (patch, patch)
    assert backbone.pos_embed.shape[1] == (size // patch) ** 2 + 1
    assert features_of(backbone, size) == 192


def test_what_cannot_be_built_is_said():
    for name, arguments, stem, words in (
        ("resnet81", {}, "default", "did you mean resnet18"),
        ("resnet18", {"nonsense": 1}, "default", "nonsense"),
        ("test_vit", {}, "small", "only timm's ResNets"),
    ):
        with pytest.raises(UsageError, match=words):
            describe(name, arguments, stem, 32)[0].build()


def test_mlp():
    head = mlp(8, (16, 16, 4), "batch")
    kinds = [type(layer).__name__ for layer in head]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert [layer.bias is None for layer in head if isinstance(layer, nn.Linear)] == [True, True, False]
    last = mlp(8, (16, 4), "layer", last_norm=True)[-1]
    assert isinstance(last, nn.LayerNorm)
    assert last.weight is None
    assert isinstance(mlp(8, ()), nn.Identity)
    assert [type(layer).__name__ for layer in mlp(8, (16, 4), "none")] == ["Linear", "ReLU", "Linear"]


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
    assert set(about) == {"name", "arguments", "stem", "size", "mean", "std", "features"}
    if about["stem"] == "default":  # then timm needs one line
        import timm

        file = str(run.path / "backbone.safetensors")
        timm.create_model(about["name"], num_classes=0, checkpoint_path=file, **about["arguments"])


def test_a_queue_keeps_the_newest():
    queue = Queue(5, 2)
    queue.enqueue(torch.tensor([[1.0, 1], [2, 2], [3, 3]]))
    before = queue.rows
    assert queue.age.tolist() == [0, 0, 0, -1, -1]
    assert torch.equal(queue.filled, before[:3])
    queue.enqueue(torch.tensor([[4.0, 4], [5, 5], [6, 6]]))
    assert queue.rows[:, 0].tolist() == [4, 5, 6, 1, 2]
    assert queue.age.tolist() == [0, 0, 0, 1, 1]
    assert before[:3, 0].tolist() == [1, 2, 3]  # what a loss was computed of has not changed
    queue.enqueue(torch.arange(7.0)[:, None].expand(7, 2))
    assert queue.rows[:, 0].tolist() == [0, 1, 2, 3, 4]
    none = Queue(0, 2)
    none.enqueue(torch.ones(3, 2))
    assert len(none.rows) == 0


def test_a_bank_averages_each_image_alone():
    """m = 0.5 on unit vectors; what is seen for the first time is taken as it is (arXiv 1912.01991, section 3.2)."""
    bank = Bank(4, 2)
    strangers = bank.rows[[0, 3]].clone()
    index, first, second = torch.tensor([2, 1]), torch.tensor([[3.0, 0], [0, 2]]), torch.tensor([[0.0, 5], [0, 1]])
    assert torch.equal(bank.read(index, first), torch.tensor([[1.0, 0], [0, 1]]))
    bank.update(index, first, 0.5)
    assert torch.equal(bank.rows[index], torch.tensor([[1.0, 0], [0, 1]]))
    bank.update(index, second, 0.5)
    torch.testing.assert_close(bank.rows[index], torch.tensor([[0.5**0.5, 0.5**0.5], [0, 1]]))
    assert torch.equal(bank.rows[[0, 3]], strangers)
    bank.update(torch.tensor([3]), torch.tensor([[1.0, 1]]), 0.5)
    assert bank.age.tolist() == [-1, 1, 1, 0]
    numbers, rows = bank.draw(torch.tensor([0.0, 0.3, 0.99, 1.0]))
    assert numbers.tolist() == [0, 1, 3, 3]
    assert torch.equal(rows, bank.rows[numbers])


def test_keys_are_shuffled_over_groups_and_put_back():
    """Each key is its own image's; with batch norm in training, groups change what comes out."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(12))
    encoder = MomentumEncoder((0.9, 1.0), network).train()
    images = torch.randn(16, 3, 2, 2)
    chance = Chance(0, 0, 16, slice(None))
    at_once = shuffled(encoder, View(images), chance, "keys", 1)
    torch.testing.assert_close(at_once, network(images))
    in_groups = shuffled(encoder, View(images), chance, "keys", 4)
    assert not torch.allclose(in_groups, at_once)
    order = chance.shared("keys", 16).argsort()
    for rows in order.chunk(4):
        torch.testing.assert_close(in_groups[rows], network(images[rows]))


def test_prototypes_are_used_at_length_one():
    prototypes = Prototypes(4, 3)
    embeddings = torch.randn(5, 4)
    before = prototypes(embeddings)
    with torch.no_grad():
        prototypes.weight.mul_(7)
    torch.testing.assert_close(prototypes(3 * embeddings), before)
    assert before.abs().max() <= 1
    prototypes(embeddings, frozen=False).sum().backward()
    assert prototypes.weight.grad is not None
    with torch.autocast("cpu", torch.bfloat16):
        assert prototypes(embeddings.bfloat16()).dtype == torch.float32
