"""timm's vision transformers, step by step."""

import pytest
import torch

import twofold
from tests.conftest import tiny
from twofold.batch import View
from twofold.errors import UsageError
from twofold.nets.backbone import BackboneSpec
from twofold.nets.vit import encode, tokens

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


@pytest.mark.parametrize(("method", "words"), [("mae", "vision transformer"), ("data2vec", "vision transformer")])
def test_transformer_methods_say_what_they_need(method, words, tmp_path):
    settings = tiny(method, backbone="test_resnet", backbone_arguments={}, image_size=32)
    with pytest.raises(UsageError, match=words):
        twofold.pretrain(out=tmp_path / "run", quiet=True, **settings)
    assert not (tmp_path / "run").exists()
