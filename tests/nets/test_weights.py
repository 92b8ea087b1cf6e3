"""Weights that a backbone starts from: the layouts of checkpoints, what does not fit, what is no checkpoint."""

import argparse
import subprocess
import sys
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from twofold.errors import UsageError
from twofold.nets import published
from twofold.nets.weights import give, located, open_weights, read_tensors

RESNET, VIT = "test_resnet", "test_vit"


def network(name=RESNET, **arguments):
    return timm.create_model(name, **arguments)


def under(prefix, module, factor=1):
    """A module's tensors with a prefix before each name."""
    return {prefix + key: value * factor for key, value in module.state_dict().items()}


def numbered(module):
    """A network's children in a Sequential, without the classifier, as lightly's examples save it."""
    return nn.Sequential(*list(module.children())[:-1]).state_dict()


LAYOUTS = {
    "timm": lambda m: m.state_dict(),
    "timm's training script": lambda m: {"state_dict": under("", m, 0), "state_dict_ema": under("", m), "arch": "x"},
    "MoCo v2": lambda m: {
        "epoch": 3,
        "state_dict": under("module.encoder_q.", m) | under("module.encoder_k.", m, 0),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]},
    },
    "MoCo v3": lambda m: {
        "state_dict": under("module.base_encoder.", m) | under("module.momentum_encoder.", m, 0),
        "args": argparse.Namespace(lr=0.1),
    },
    "DINO": lambda m: {
        "student": under("module.backbone.", m, 0) | {"module.head.mlp.0.weight": torch.zeros(2, 2)},
        "teacher": under("backbone.", m) | {"head.mlp.0.weight": torch.zeros(2, 2)},
        "args": argparse.Namespace(arch="x"),
    },
    "solo-learn and lightly": lambda m: {
        "state_dict": under("backbone.", m) | under("momentum_backbone.", m, 0) | {"projector.0.weight": torch.ones(2)}
    },
    "lightly with numbered children": lambda m: {
        "state_dict": {f"backbone.{key}": value for key, value in numbered(m).items()}
    },
    "lightly's DINO": lambda m: {
        "state_dict": under("student_backbone.", m, 0) | under("teacher_backbone.", m),
        "hyper_parameters": {"path": Path("a"), "lr": np.float64(0.1), "steps": np.int32(3), "flip": np.bool_(1)},
    },
    "data parallel": lambda m: under("module.", m),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_checkpoints_of_every_layout_are_taken_from_the_side_that_is_used(layout, tmp_path):
    saved, backbone = network(), network(num_classes=0)
    torch.save(LAYOUTS[layout](saved), tmp_path / "file.pth")
    said = give(open_weights(str(tmp_path / "file.pth"), RESNET), backbone)
    assert all(torch.equal(value, saved.state_dict()[key]) for key, value in backbone.state_dict().items())
    tensors = sum(not key.endswith("num_batches_tracked") for key in backbone.state_dict())
    assert f"{tensors} of {tensors} tensors fit" in said[0]


def test_a_second_network_in_a_file_is_named(tmp_path):
    both = under("student_backbone.", network(), 0) | under("teacher_backbone.", network())
    torch.save(both, tmp_path / "file.pth")
    said = give(open_weights(str(tmp_path / "file.pth"), RESNET), network(num_classes=0))
    assert said[0].endswith("tensors fit under the prefix teacher_backbone.")
    assert said[1].startswith("it has as many under student_backbone., which is left out")
    torch.save(under("", network(num_classes=0)) | under("ema.", network(num_classes=0)), tmp_path / "file.pth")
    said = give(open_weights(str(tmp_path / "file.pth"), RESNET), network(num_classes=0))
    assert (said[0].endswith("under the prefix ema."), len(said)) == (True, 2)
    assert said[1].startswith("it has as many under no prefix, which is left out")
    torch.save(under("", network(num_classes=0)) | under("other.", network(num_classes=0)), tmp_path / "file.pth")
    said = give(open_weights(str(tmp_path / "file.pth"), RESNET), network(num_classes=0))
    assert [line.split(",")[0] for line in said[1:]] == ["it has as many under other."]  # and is named once


def test_numbers_and_paths_by_the_names_of_other_versions(tmp_path):
    """NumPy 1 calls its module of arrays otherwise, and Python 3.13 that of paths."""
    saved = {"state_dict": network().state_dict(), "lr": np.float64(0.1), "at": Path("a")}
    torch.save(saved, tmp_path / "new.ckpt")
    renamed = ((b"numpy._core.multiarray", b"numpy.core.multiarray"), (b"cpathlib\n", b"cpathlib._local\n"))
    with ZipFile(tmp_path / "new.ckpt") as new, ZipFile(tmp_path / "old.ckpt", "w") as old:
        for name in new.namelist():
            content = new.read(name)
            if name.endswith("data.pkl"):
                assert renamed[0][0] in content
                for now, before in renamed:
                    content = content.replace(now, before)
            old.writestr(name, content)
    assert give(open_weights(str(tmp_path / "old.ckpt"), RESNET), network(num_classes=0))


@pytest.mark.parametrize(
    ("saved", "strange"),
    [
        (lambda m: {"state_dict": m.state_dict(), "hyper_parameters": defaultdict(list, a=[1])}, "defaultdict"),
        (lambda m: {"model": m.state_dict(), "args": Fraction(1, 2)}, "Fraction"),
        (lambda m: m, "ResNet"),
    ],
)
def test_a_checkpoint_with_other_objects_says_which_and_how_to_save_it_without_them(saved, strange, tmp_path):
    path = tmp_path / "it's mine, größer 🦌.ckpt"
    torch.save(saved(network()), path)
    with pytest.raises(UsageError, match=rf"Python object .*{strange}.* python -c") as refused:
        open_weights(str(path), RESNET)
    command = str(refused.value).partition("alone: ")[2].replace("python", sys.executable, 1)
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    assert give(open_weights(str(tmp_path / "tensors.pt"), RESNET), network(num_classes=0))


def test_a_classifier_is_left_out_and_that_is_said(tmp_path):
    save_file(network().state_dict(), tmp_path / "file.safetensors")
    said = give(open_weights(str(tmp_path / "file.safetensors"), RESNET), network(num_classes=0))
    assert any(line.startswith("left out: fc.") for line in said)


def test_images_are_prepared_as_the_model_says(tmp_path):
    save_file(network(VIT).state_dict(), tmp_path / "file.safetensors")
    weights = open_weights(str(tmp_path / "file.safetensors"), VIT)
    config = network(VIT).pretrained_cfg
    assert (weights.size, weights.interpolation) == (160, config["interpolation"])
    assert (weights.mean, weights.std) == (config["mean"], config["std"])


def test_other_channels_see_the_image_as_the_first_ones_do(tmp_path):
    """A grey image in one channel gives what it gave in three: timm sums the filters."""
    saved, backbone = network().eval(), network(num_classes=0, in_chans=1).eval()
    save_file(saved.state_dict(), tmp_path / "file.safetensors")
    give(open_weights(str(tmp_path / "file.safetensors"), RESNET), backbone)
    grey = torch.rand(2, 1, 32, 32)
    seen = saved.forward_head(saved.forward_features(grey.expand(-1, 3, -1, -1)), pre_logits=True)
    torch.testing.assert_close(backbone(grey), seen)


def test_a_transformer_of_other_patches_and_images_keeps_its_blocks(tmp_path):
    saved = network(VIT)
    side, first = saved.patch_embed.grid_size[0], saved.num_prefix_tokens
    with torch.no_grad():  # positions that say how far down the image a patch is
        saved.pos_embed[0, first:] = torch.linspace(0, 1, side).repeat_interleave(side)[:, None]
    save_file(saved.state_dict(), tmp_path / "file.safetensors")
    backbone = network(VIT, num_classes=0, img_size=64, patch_size=8)
    said = give(open_weights(str(tmp_path / "file.safetensors"), VIT), backbone)
    assert not any("fresh" in line for line in said)
    assert torch.equal(backbone.blocks[0].attn.qkv.weight, saved.blocks[0].attn.qkv.weight)
    rows = backbone.pos_embed[0, first:, 0].view(8, 8)
    assert (rows.diff(dim=0) > 0).all()
    assert torch.allclose(rows, rows[:, :1], atol=1e-5)


def test_what_does_not_fit_is_said(tmp_path):
    save_file(network(VIT).state_dict(), tmp_path / "vit.safetensors")
    with pytest.raises(UsageError, match=r"does not fit ResNet: 0% .* its tensors are called .* the backbone's conv1"):
        give(open_weights(str(tmp_path / "vit.safetensors"), RESNET), network(num_classes=0))
    save_file(network(channels=(16, 16, 32, 32)).state_dict(), tmp_path / "wider.safetensors")
    with pytest.raises(UsageError, match=r"; layer1\S+ is \[16, 32, 3, 3\] in it and \[32, 32, 3, 3\] in the back"):
        give(open_weights(str(tmp_path / "wider.safetensors"), RESNET), network(num_classes=0))
    save_file(network(layers=(1, 1, 1, 2)).state_dict(), tmp_path / "deeper.safetensors")
    with pytest.raises(UsageError, match=r"is of another network: it also has layer4\.1\."):
        give(open_weights(str(tmp_path / "deeper.safetensors"), RESNET), network(num_classes=0))
    save_file(network().state_dict(), tmp_path / "shallower.safetensors")
    with pytest.raises(UsageError, match=r"% of the backbone's numbers are there; it has no layer4\.1\.conv1\.weight"):
        give(open_weights(str(tmp_path / "shallower.safetensors"), RESNET), network(num_classes=0, layers=(1, 1, 1, 2)))
    own = {key: value for key, value in network().state_dict().items() if not key.startswith("layer1.")}
    save_file(own, tmp_path / "less.safetensors")
    said = give(open_weights(str(tmp_path / "less.safetensors"), RESNET), network(num_classes=0))
    assert any("start at random: layer1.0.conv1.weight" in line for line in said)


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('it ran')",)


def test_what_is_no_checkpoint_of_tensors_is_refused_in_one_line(tmp_path):
    (tmp_path / "text.pth").write_bytes(b"hello")
    (tmp_path / "text.safetensors").write_bytes(b"hello")
    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    for name in ("text.pth", "text.safetensors", "evil.pth", "empty.pth"):
        with pytest.raises(UsageError) as error:
            read_tensors(tmp_path / name)
        assert "\n" not in str(error.value)
        assert name in str(error.value)
    for what in ("no/file.pth", str(tmp_path)):
        with pytest.raises(UsageError):
            open_weights(what, RESNET)


def test_published_weights_come_out_of_the_hubs_cache(tmp_path):
    """As timm left them there when there was a network."""
    saved = network()
    home = tmp_path / "models--timm--test_resnet.r160_in1k"
    (home / "snapshots" / "abc").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("abc")
    save_file(saved.state_dict(), home / "snapshots" / "abc" / "model.safetensors")
    script = (
        "from twofold.nets.weights import open_weights; from safetensors.torch import save_file\n"
        "weights = open_weights('published', 'test_resnet')\n"
        f"save_file(weights.tensors, {str(tmp_path / 'out.safetensors')!r}); print(weights.origin)\n"
    )
    offline = {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=offline, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "timm's published weights of test_resnet.r160_in1k"
    found = read_tensors(tmp_path / "out.safetensors")
    assert all(torch.equal(value, saved.state_dict()[key]) for key, value in found.items())


def test_without_a_network_it_is_said_which_file_to_bring(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no route\nto host")

    monkeypatch.setattr(published, "get_hf_file_metadata", unreachable)
    with pytest.raises(UsageError, match=r"\(no route to host\); bring model.safetensors of timm/test_resnet"):
        open_weights("published", RESNET)
    with pytest.raises(UsageError, match=r"evaluate, embed, export and diagnose as FILE --backbone test_resnet$"):
        open_weights("published", RESNET)
    with pytest.raises(UsageError, match=r"there are no published weights of "):
        open_weights("published", unpublished())
    with pytest.raises(UsageError, match=r"no weights called test_resnet.x; it has: test_resnet.r160_in1k"):
        open_weights("published", "test_resnet.x")


def unpublished():
    """A model that timm has without weights."""
    with_weights = {name.split(".")[0] for name in timm.list_models(pretrained=True)}
    return next(name for name in timm.list_models("resnet*") if name not in with_weights)


PARTS = st.sampled_from(["module", "backbone", "encoder_q", "teacher", "0", "head", "layer1", "a"])
BACKBONE = network(num_classes=0)


@given(st.lists(PARTS, max_size=4), st.lists(st.lists(PARTS, min_size=1, max_size=4), max_size=4))
def test_a_backbone_is_found_under_any_prefix(prefix, others):
    """Beside small tensors under whatever other names."""
    own = {key: value for key, value in BACKBONE.state_dict().items() if value.ndim}
    start = "".join(f"{part}." for part in prefix)
    tensors = {start + key: value for key, value in own.items()}
    tensors |= {".".join(["other", *parts]): torch.zeros(1) for parts in others}
    assert located(own, BACKBONE, tensors) == (start, {key: start + key for key in own}, [])
