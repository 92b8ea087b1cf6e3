"""Features of patches: the map that the pooling gets, whatever shape the network gives it, and where each patch is."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from twofold.encoding.backbones import open_backbone
from twofold.encoding.crops import central_box
from twofold.encoding.dense import centres, patchwise, raw_patches
from twofold.errors import UsageError

IMAGES = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Own(nn.Module):
    """Means of patches of 16 pixels, in any of the shapes that networks give, beside one vector an image."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        if shape == "NHWC":
            self.output_fmt = "NHWC"
        if shape == "prefix":
            self.num_prefix_tokens = 2

    def forward_features(self, images):
        maps = nn.functional.avg_pool2d(images, 16)
        tokens = maps.flatten(2).mT
        return {
            "NCHW": maps,
            "NHWC": maps.permute(0, 2, 3, 1),
            "tokens": tokens,
            "prefix": torch.cat([tokens[:, :2] * 100, tokens], 1),
            "no square": tokens[:, :15],
            "pooled": maps.mean((2, 3)),
            "several": [maps],
        }[self.shape]

    def forward(self, images):
        return images.mean((2, 3))


@pytest.mark.parametrize("shape", ["NCHW", "NHWC", "tokens", "prefix"])
def test_whatever_shape_it_has_a_patch_is_where_it_was(shape):
    dense = patchwise(open_backbone(Own(shape), size=64, mean=(0, 0, 0), std=(1, 1, 1)))
    assert (dense.grid, dense.features, dense.size) == ((4, 4), 3, 64)
    found = dense.encode(IMAGES)
    expected = IMAGES.float().div(255).unfold(2, 16, 16).unfold(3, 16, 16).mean((4, 5)).permute(0, 2, 3, 1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("no square", "15 tokens, 0 of them no patch's .num_prefix_tokens.: the other 15 are no square"),
        ("pooled", r"gives a tensor \[1, 3\], neither a map"),
        ("several", "gives list, neither a map"),
    ],
)
def test_what_is_no_map_is_one_line(shape, words):
    with pytest.raises(UsageError, match=words) as caught:
        patchwise(open_backbone(Own(shape), size=64))
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="Sequential has no features of patches: it needs a method forward_features"):
        patchwise(open_backbone(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), size=64))


@pytest.mark.parametrize(
    ("name", "arguments", "grid", "averaged"),
    [
        ("test_resnet", {}, (2, 2), True),  # a map, channels first
        ("test_convnext", {}, (2, 2), False),
        ("test_vit", {"img_size": 64}, (4, 4), False),  # a class token before the patches'
        ("test_vit", {"img_size": 64, "global_pool": "avg", "fc_norm": False}, (4, 4), True),
        ("test_vit4", {"img_size": 64}, (4, 4), False),  # registers, too
        ("swin_tiny_patch4_window7_224", {"img_size": 64, "depths": (1, 1, 1, 1)}, (2, 2), True),  # channels last
        ("mvitv2_tiny", {"img_size": 64}, (2, 2), True),  # tokens without a prefix
        ("hiera_tiny_224", {"img_size": 64}, (2, 2), False),  # no norm before the pooling
        ("volo_d1_224", {"img_size": 64}, (4, 4), False),  # a class token that the model does not tell of
        ("pit_ti_224", {"img_size": 64, "depth": (1, 1, 1)}, (2, 2), False),  # forward_features gives class tokens only
    ],
)
def test_timms_families(name, arguments, grid, averaged):
    """Where a network averages and does nothing more, the mean of the patches is the vector of the image."""
    encoder = open_backbone(timm.create_model(name, num_classes=0, **arguments), size=64)
    dense = patchwise(encoder)
    found = dense.encode(IMAGES)
    assert found.shape == (2, *dense.grid, dense.features)
    assert (dense.grid, dense.features) == (grid, encoder.spec.features)
    same = torch.allclose(found.mean((1, 2)), encoder(IMAGES), atol=1e-5, rtol=1e-4)
    assert same == averaged


def test_a_network_stays_in_its_mode():
    network = timm.create_model("test_resnet", num_classes=0).train()
    dense = patchwise(open_backbone(network, size=64))
    dense.encode(IMAGES)
    assert network.training
    assert all(part.training for part in network.modules())


def test_raw_patches_are_the_pixels_of_the_same_patches():
    like = patchwise(open_backbone(Own("NCHW"), size=64))
    raw = raw_patches(like)
    assert (raw.grid, raw.features, raw.encoder) == ((4, 4), 3 * 8 * 8, None)
    image = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    image[0, 1, 16:32, 48:] = 255  # the second row's last patch, green
    found = raw.encode(image)[0]
    where = found.sum(-1) > 1
    assert where.nonzero().tolist() == [[1, 3]]
    assert found[1, 3].view(3, 8, 8)[1].mean() == pytest.approx(1, abs=0.1)  # resizing blurs its edge
    fine = patchwise(open_backbone(Own("NCHW"), size=64))
    small = raw_patches(type(fine)(fine.encode, 16, (4, 4), 3))
    exact = torch.arange(3 * 16 * 16).view(1, 3, 16, 16).to(torch.uint8)
    torch.testing.assert_close(small.encode(exact)[0, 1, 2], exact[0, :, 4:8, 8:12].flatten() / 255)


def test_centres_are_in_pixels_of_the_image():
    """A photograph's crop is undone: its middle stays its middle, and neighbours are side / grid apart."""
    box = central_box(200, 400)
    assert box == (12, 112, 175)
    found = centres(box, (7, 5)).reshape(7, 5, 2)
    np.testing.assert_allclose(found[3, 2], (112 + 87.5, 12 + 87.5))
    np.testing.assert_allclose(found[0, 0], (112 + 17.5, 12 + 12.5))
    np.testing.assert_allclose(found[0, 1] - found[0, 0], (35, 0), atol=1e-4)
    np.testing.assert_allclose(found[1, 0] - found[0, 0], (0, 25), atol=1e-4)
