"""Batched crops and blurs against torchvision's, image by image; which levels may differ is said in test_color.py."""

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from tests.augment.levels import FLOAT, IMAGES, N, assert_levels, each
from twofold.augment.resample import gaussian_blur, quarter_turns, resized_crop


@pytest.mark.parametrize(("sigma", "window"), [(0.1, 3), (1.0, 5), (2.0, 23)])
def test_gaussian_blur(sigma, window):
    sigmas = torch.full((N,), sigma) * torch.linspace(0.8, 1.2, N)
    assert_levels(gaussian_blur(FLOAT, sigmas, window), each(lambda i, s: tv.gaussian_blur(i, window, s), sigmas), 0.51)


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize(
    ("name", "mode"), [("bilinear", InterpolationMode.BILINEAR), ("bicubic", InterpolationMode.BICUBIC)]
)
def test_resized_crop(name, mode, size):
    """Growing and shrinking, at the borders and inside, some mirrored.

    torchvision resizes uint8 with 16-bit integer weights and rounds between the two directions: 1.5 levels.
    On floats, where it does not, the two agree to a hundredth of a level.
    """
    random = torch.Generator().manual_seed(0)
    height = torch.randint(1, 41, (N,), generator=random)
    width = torch.randint(1, 49, (N,), generator=random)
    boxes = torch.stack([(40 - height) // 2, 48 - width, height, width], 1)
    boxes[0] = torch.tensor([0, 0, 40, 48])
    flip = torch.arange(N) % 2 == 1

    def theirs(images):
        crops = [
            tv.resized_crop(i, *box, [size, size], mode, True) for i, box in zip(images, boxes.tolist(), strict=True)
        ]
        return torch.stack([c.flip(-1) if f else c for c, f in zip(crops, flip, strict=True)])

    ours = resized_crop(IMAGES, boxes, flip, size, mode.value)
    torch.testing.assert_close(resized_crop(FLOAT, boxes, flip, size, mode.value), ours)
    assert_levels(ours, theirs(IMAGES) / 255, 1.51)
    assert_levels(ours, theirs(FLOAT).clamp(0, 1), 0.01)


def test_quarter_turns_are_torchvisions():
    turns, square = torch.arange(N) % 4, FLOAT[..., :40]
    expected = [tv.rotate(image, 90.0 * turn) for image, turn in zip(square, turns.tolist(), strict=True)]
    assert torch.equal(quarter_turns(square, turns), torch.stack(expected))


def test_padding_is_never_seen():
    """Images smaller than the batch's largest lie in its upper left corner; what is beside them does not matter."""
    padded = torch.full((N, 3, 60, 60), 255, dtype=torch.uint8)
    padded[:, :, :40, :48] = IMAGES
    boxes = torch.tensor([[0, 0, 40, 48]]).expand(N, 4)
    none = torch.zeros(N, dtype=torch.bool)
    torch.testing.assert_close(resized_crop(padded, boxes, none, 32), resized_crop(IMAGES, boxes, none, 32))
