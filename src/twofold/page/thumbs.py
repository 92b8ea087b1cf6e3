"""Thumbnails: many small pictures on a few sheets, so that the page stays one file of a bearable size."""

import base64
import io

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

LARGEST = 96
"""The side in pixels of the thumbnails of up to `FEW` images."""
FEW = 2000
ACROSS = 16
"""How many pictures a row of a sheet has, and rows a sheet: it is decoded as a whole when one is looked at."""
PLAIN = 16
"""Up to this side pictures are kept exactly: compression would smear one into the next."""
QUALITY = 75


def side_for(images: int, size: int) -> int:
    """Side of a thumbnail in pixels: 96 for 2,000 images, 32 for 50,000, never more than the image's own ``size``.

    It falls with the cube root of their number, so that the pixels of all of them grow with it too.
    """
    return max(8, min(size, int(LARGEST * min(1.0, FEW / images) ** (1 / 3))))


def shrink(images: UInt8[Tensor, "n 3 s s"], side: int) -> UInt8[Tensor, "n 3 {side} {side}"]:
    """Square images at a thumbnail's size."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, (side, side), mode="bicubic", antialias=True)


def sheets(thumbs: UInt8[Tensor, "n 3 s s"]) -> list[str]:
    """WebP files in base64, ``ACROSS`` by ``ACROSS`` pictures each, row by row; the last one may have fewer rows."""
    found = []
    side = thumbs.shape[-1]
    for part in thumbs.split(ACROSS**2):
        rows = -(-len(part) // ACROSS)
        grid = torch.zeros(rows * ACROSS, 3, side, side, dtype=torch.uint8)
        grid[: len(part)] = part
        sheet = grid.view(rows, ACROSS, 3, side, side).permute(0, 3, 1, 4, 2).reshape(rows * side, ACROSS * side, 3)
        file = io.BytesIO()
        Image.fromarray(sheet.numpy()).save(file, "WEBP", quality=QUALITY, lossless=side <= PLAIN)
        found.append(base64.b64encode(file.getvalue()).decode())
    return found
