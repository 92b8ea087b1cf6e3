"""Cropping with resizing, turning and blurring of a whole batch at once on any device, every image with its own.

A crop is one small matrix for the rows and one for the columns, so all crops are two batched products. A flip only
mirrors the columns' matrix. A blur is one window along the rows and one along the columns, each image's own group of a
convolution.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F


def _triangle(x: Tensor) -> Tensor:
    return (1 - x.abs_()).clamp_min_(0)


def _keys_cubic(x: Tensor) -> Tensor:
    """Keys' cubic with a = -0.5, the one Pillow and torch use when they antialias.

    Both its pieces at once: with a = max(2 - |x|, 0) and b = max(1 - |x|, 0) it is a^2 (a - 1) / 2 + b^2 (1 - 2b).
    """
    a = (2 - x.abs_()).clamp_min_(0)
    b = (a - 1).clamp_min_(0)
    outer = (a - 1).mul_(a).mul_(a)
    inner = (1 - 2 * b).mul_(b).mul_(b)
    return inner.add_(outer, alpha=0.5)


KERNELS: dict[str, Callable[[Tensor], Tensor]] = {"bilinear": _triangle, "bicubic": _keys_cubic}


def resize_matrix(
    start: Int[Tensor, " n"],
    length: Int[Tensor, " n"],
    size_in: int,
    size_out: int,
    interpolation: str,
    mirror: Bool[Tensor, " n"] | None = None,
) -> Float[Tensor, "n out in"]:
    """Weights that resize pixels ``start .. start + length`` of a line of ``size_in`` to ``size_out``, antialiased.

    Each row sums to 1 and is zero outside the crop, as when the crop is cut out first and then resized.
    """
    extent = length[:, None, None].float()
    scale = extent / size_out
    out = torch.arange(size_out, device=start.device)[:, None].float() + 0.5
    if mirror is not None:
        out = torch.where(mirror[:, None, None], size_out - out, out)
    pixel = (torch.arange(size_in, device=start.device) - start[:, None, None]).float() + 0.5  # from the crop's edge
    inverse = 1 / scale.clamp_min(1)
    weights = KERNELS[interpolation](pixel * inverse - out * (scale * inverse))
    weights.mul_((pixel > 0) & (pixel < extent))
    return weights.div_(weights.sum(-1, keepdim=True))


def resized_crop(
    images: Shaped[Tensor, "n c h w"],
    boxes: Int[Tensor, "n 4"],
    flip: Bool[Tensor, " n"],
    size: int,
    interpolation: str = "bicubic",
) -> Float[Tensor, "n c {size} {size}"]:
    """Cut a box (top, left, height, width, in pixels) out of each image, resize it to a square, mirror some.

    The result is float32. Of whole numbers, uint8 or uint16, it is from 0 to 1, clamped there, as the cubic filter
    overshoots at edges; floats are taken as they are.
    """
    h, w = images.shape[-2:]
    top, left, height, width = boxes.unbind(1)
    rows = resize_matrix(top, height, h, size, interpolation)
    columns = resize_matrix(left, width, w, size, interpolation, flip)
    if images.is_floating_point():
        return _separable(images.float(), rows, columns)
    rows.div_(torch.iinfo(images.dtype).max)
    return _separable(images.float(), rows, columns).clamp_(0, 1)


def quarter_turns(images: Float[Tensor, "n c s s"], turns: Int[Tensor, " n"]) -> Float[Tensor, "n c s s"]:
    """Turn each square image anticlockwise by its own number of quarter turns, 0 to 3."""
    turned = images
    for quarters in (1, 2, 3):  # all ways of all images, and no sizes that a GPU would have to tell
        chosen = (turns == quarters)[:, None, None, None]
        turned = torch.where(chosen, images.rot90(quarters, (2, 3)), turned)
    return turned


def gaussian_blur(
    images: Float[Tensor, "n c h w"], sigma: Float[Tensor, " n"], kernel_size: int
) -> Float[Tensor, "n c h w"]:
    """Blur each image with its own width ``sigma`` (pixels), a window of ``kernel_size`` (odd), mirrored borders."""
    n, c, h, w = images.shape
    reach = kernel_size // 2
    offset = torch.arange(-reach, reach + 1, device=images.device)
    window = torch.exp(-0.5 * (offset / sigma[:, None]) ** 2)
    window = (window / window.sum(1, keepdim=True)).repeat_interleave(c, 0)[:, None]  # [n * c, 1, k]
    planes = images.reshape(1, n * c, h, w)
    planes = F.pad(planes, (reach, reach, 0, 0), mode="reflect")
    planes = F.conv2d(planes, window[:, :, None, :], groups=n * c)
    planes = F.pad(planes, (0, 0, reach, reach), mode="reflect")
    return F.conv2d(planes, window[:, :, :, None], groups=n * c).view(n, c, h, w)


def _separable(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """``rows @ image @ columns.T`` for each image and channel: [n,c,h,w], [n,p,h], [n,q,w] -> [n,c,p,q]."""
    n, c, h, w = images.shape
    narrow = torch.bmm(images.reshape(n, c * h, w), columns.transpose(1, 2)).view(n, c, h, -1)
    return torch.matmul(rows[:, None], narrow)
