"""The side of the tiles that jigsaw and PIRL cut for their backbone."""

from torch import nn

from twofold.augment.tiles import tile_size
from twofold.nets.backbone import features_of
from twofold.nets.vit import patch_size


def tile_side(backbone: nn.Module, size: int, channels: int) -> int:
    """The side in pixels of tiles that the backbone takes, cut from views of ``size`` pixels with so many channels.

    Raises:
        UsageError: if there are none.
    """
    tile = tile_size(size, patch_size(backbone))
    features_of(backbone, tile, channels)
    return tile
