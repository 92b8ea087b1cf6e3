"""Backbones are fitted to the size of the images."""

import pytest
import torch
from torch import nn

from twofold.errors import UsageError
from twofold.nets.backbone import describe, features_of, stem_for


@pytest.mark.parametrize(
    ("name", "size", "stem"),
    [("resnet18", 32, "small"), ("resnet18", 40, "small"), ("resnet18", 41, "default"), ("test_resnet", 32, "small")],
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


def test_the_norms_of_an_efficientnet_may_be_told():
    """Its functions make one argument of two; the networks of other modules have no such argument."""
    backbone = describe("test_efficientnet", {"bn_eps": 0.25, "bn_momentum": 0.5}, "default", 32)[0].build()
    norms = [part for part in backbone.modules() if isinstance(part, nn.BatchNorm2d)]
    assert norms
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.25, 0.5)}
    with pytest.raises(UsageError, match="has no argument 'bn_eps'"):
        describe("resnet18", {"bn_eps": 0.25}, "default", 32)[0].build()


def test_with_the_small_stem_an_untrained_resnet_sees_the_whole_image():
    """With timm's zeros in each block's last norm only the shortcuts are left, three of stride 2: one pixel of 64."""

    def seen(arguments):
        torch.manual_seed(0)
        spec, _ = describe("resnet18", arguments, "small", 8)
        images = torch.rand(2, 3, 8, 8, requires_grad=True)
        spec.build().eval()(images).square().sum().backward()
        return (images.grad != 0).any(1).float().mean().item()

    assert seen({}) == 1
    assert seen({"zero_init_last": True}) < 0.2  # who asks for it has it
    assert "zero_init_last" not in describe("resnet18", {}, "default", 224)[0].arguments
