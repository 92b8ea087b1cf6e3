"""timm's vision transformers, step by step."""

import math

import pytest
import torch

import twofold
from tests.conftest import tiny
from twofold.batch import View
from twofold.errors import UsageError
from twofold.nets.backbone import BackboneSpec
from twofold.nets.vit import encode, sines, tokens

N = 64
RANDOM = torch.Generator().manual_seed(0)
IMAGES = torch.randn(N, 3, 32, 32, generator=RANDOM)


@pytest.fixture(scope="module")
def vit():
    arguments = {"img_size": 32, "patch_size": 4, "dynamic_img_size": True}
    return BackboneSpec("test_vit", arguments, "default", 32, (), ()).build().eval()


def test_all_patches_kept_is_the_backbone_itself(vit):
    everything = torch.arange(64).expand(N, 64)
    torch.testing.assert_close(encode(vit, View(IMAGES, everything)), vit(IMAGES))


def test_kept_patches_keep_their_places(vit):
    """The tokens of a view that keeps all but in another order are the same tokens in that order."""
    order = torch.stack([torch.randperm(64, generator=RANDOM) for _ in range(N)])
    plain = tokens(vit, View(IMAGES))[:, 1:]
    turned = tokens(vit, View(IMAGES, order))[:, 1:]
    expected = plain.gather(1, order[:, :, None].expand_as(plain))
    torch.testing.assert_close(turned, expected, rtol=1e-4, atol=1e-5)


def test_places_are_sines_and_cosines_of_column_and_row():
    """As `get_2d_sincos_pos_embed` of the masked autoencoder: the column first."""
    found, side, width = sines(5, 24), 5, 24
    for row in range(side):
        for column in range(side):
            expected = [
                wave(place / 10_000 ** (number / (width / 4)))
                for place in (column, row)
                for wave in (math.sin, math.cos)
                for number in range(width // 4)
            ]
            torch.testing.assert_close(found[row * side + column], torch.tensor(expected))


def test_a_transformer_begins_with_xaviers_weights_and_knows_places(vit):
    assert torch.equal(vit.pos_embed[0, 1:], sines(8, vit.embed_dim))
    assert not vit.pos_embed[0, 0].any()
    for layer in (vit.blocks[0].mlp.fc1, vit.blocks[-1].attn.qkv):
        bound = math.sqrt(6 / (layer.in_features + layer.out_features))
        assert 0.98 * bound < layer.weight.abs().max() <= bound
    arguments = {"img_size": 32, "patch_size": 4, "weight_init": "moco"}
    asked = BackboneSpec("test_vit", arguments, "default", 32, (), ()).build()
    assert not torch.allclose(asked.pos_embed[0, 1:], sines(8, asked.embed_dim))


@pytest.mark.parametrize(("method", "words"), [("mae", "vision transformer"), ("data2vec", "vision transformer")])
def test_transformer_methods_say_what_they_need(method, words, tmp_path):
    settings = tiny(method, backbone="test_resnet", backbone_arguments={}, image_size=32)
    with pytest.raises(UsageError, match=words):
        twofold.pretrain(out=tmp_path / "run", quiet=True, **settings)
    assert not (tmp_path / "run").exists()
