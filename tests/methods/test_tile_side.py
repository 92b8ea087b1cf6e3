"""Tiles have a side that the backbone takes."""

import pytest
import timm
from torch import nn

from twofold.errors import UsageError
from twofold.methods.tile_side import tile_side


def test_tiles_are_whole_patches():
    """A third of 48 pixels, less the gap, is 13; patches of 4 leave 12 of them."""
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    transformer = timm.create_model("test_vit", num_classes=0, img_size=48, patch_size=4, dynamic_img_size=True)
    assert tile_side(pooled, 48, 3) == 13
    assert tile_side(transformer, 48, 3) == 12


@pytest.mark.parametrize(
    ("backbone", "size", "words"),
    [
        (nn.Flatten(), 8, "too small for 9 tiles"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 48 * 48, 4)), 48, "does not take images of 13 pixels"),
    ],
)
def test_where_there_are_none_is_said(backbone, size, words):
    with pytest.raises(UsageError, match=words):
        tile_side(backbone, size, 3)
