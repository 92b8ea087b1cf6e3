"""Masks: what is drawn, and that masked patches are dropped or painted."""

import math
import random

import pytest
import torch
from scipy.ndimage import label

import twofold
from tests.conftest import tiny
from twofold.augment import Views
from twofold.augment.masks import fill, hidden, masked, masked_patches, of_hidden
from twofold.batch import Chance, View
from twofold.errors import UsageError
from twofold.nets.backbone import BackboneSpec
from twofold.nets.vit import encode, patchify, tokens

N = 64
CHANCE = Chance(0, 3, N, slice(None))
IMAGES = torch.randn(N, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def vit():
    arguments = {"img_size": 32, "patch_size": 4, "dynamic_img_size": True}
    return BackboneSpec("test_vit", arguments, "default", 32, (), ()).build().eval()


@pytest.mark.parametrize("shape", ["random", "block"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.75, 0.99])
def test_the_share_is_exact_and_every_patch_has_its_turn(shape, share):
    view = masked(View(IMAGES), 8, share, shape, CHANCE)
    assert view.ids_keep.shape == (N, 64 - round(64 * share))
    assert all(len(set(row)) == len(row) for row in view.ids_keep.tolist())
    assert (view.ids_keep.diff() > 0).all()  # in reading order
    many = Chance(0, 3, 2000, slice(None))
    hits = torch.zeros(2000, 64).scatter(1, masked_patches(8, share, shape, many)[0], 1.0)
    assert hits.mean(0).min() > 0.1 * share  # corners are in few rectangles
    assert hits.mean().item() == pytest.approx(round(64 * share) / 64)


def test_blocks_hang_together():
    """At a half, masked patches of blocks form far fewer pieces than random ones."""
    pieces = []
    for shape in ("block", "random"):
        shown = torch.zeros(N, 64).scatter(1, masked_patches(8, 0.5, shape, CHANCE)[0], 1.0).view(N, 8, 8)
        pieces.append(sum(label(image.numpy())[1] for image in shown) / N)
    assert pieces[0] < 0.5 * pieces[1]


def beits(side, count, draw):
    """A mask as BEiT draws it, with plain loops: rectangles until enough is masked, or ten of them do not fit."""
    mask = torch.zeros(side, side)
    while mask.sum() < count:
        left = count - int(mask.sum())
        for _ in range(10):
            area = draw.uniform(16 * (side / 14) ** 2, left)
            ratio = math.exp(draw.uniform(math.log(0.3), -math.log(0.3)))
            height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if height < side and width < side:
                top, beside = draw.randint(0, side - height), draw.randint(0, side - width)
                block = mask[top : top + height, beside : beside + width]
                if 0 < (block == 0).sum() <= left:
                    block.fill_(1)
                    break
        else:
            break
    return mask


@pytest.mark.parametrize(("side", "count"), [(14, 75), (14, 120), (6, 22)])
def test_blocks_are_as_beits(side, count):
    """At 75 of 196 patches and scaled to other grids: where they lie, how often a neighbour is masked too."""
    n, draw = 1000, random.Random(0)
    theirs = torch.stack([beits(side, count, draw) for _ in range(n)])
    gone = masked_patches(side, count / side**2, "block", Chance(0, 3, n, slice(None)))[0]
    ours = torch.zeros(n, side * side).scatter(1, gone, 1.0).view(n, side, side)
    assert 0.99 * count < theirs.sum((1, 2)).mean() <= count == ours.sum((1, 2)).mean()
    assert (ours.mean(0) - theirs.mean(0)).abs().max() < 0.08  # about four standard errors
    beside = [(m[:, 1:] * m[:, :-1]).sum() / m.sum() for m in (ours, theirs)]
    assert beside[0].item() == pytest.approx(beside[1].item(), abs=0.01)


def test_masks_are_a_function_of_seed_step_and_view_not_of_processes():
    masking = Views(32, patch_size=4, mask=(0.75, 0.75)).masked
    whole = masking(IMAGES, 0, CHANCE).ids_keep
    rows = slice(16, 32)
    part = masking(IMAGES[rows], 0, Chance(0, 3, N, rows)).ids_keep
    assert torch.equal(part, whole[rows])
    assert torch.equal(masked(View(IMAGES), 8, 0.75, "random", CHANCE).ids_keep, whole)  # a method's own mask
    assert not torch.equal(masking(IMAGES, 1, CHANCE).ids_keep, whole)
    assert not torch.equal(masking(IMAGES, 0, Chance(0, 4, N, slice(None))).ids_keep, whole)
    assert not torch.equal(masking(IMAGES, 0, Chance(1, 3, N, slice(None))).ids_keep, whole)


def test_masked_patches_are_dropped_not_seen(vit):
    """What is in a masked patch changes nothing, and fewer tokens are computed."""
    view = masked(View(IMAGES), 8, 0.75, "random", CHANCE)
    assert tokens(vit, view).shape[1] == 16 + vit.num_prefix_tokens
    other = torch.where(fill(torch.ones_like(IMAGES), (~hidden(view, 64)).nonzero()[:, 1].view(N, -1), 8) > 0,
                        IMAGES + 100, IMAGES)  # fmt: skip
    assert not torch.equal(other, IMAGES)
    torch.testing.assert_close(encode(vit, View(other, view.ids_keep)), encode(vit, view))


def test_without_patches_to_drop_masks_are_refused_or_painted():
    with pytest.raises(UsageError, match="artificial edges"):
        Views(32, mask=(0.0, 0.5))
    view = Views(32, mask=(0.5, 0.0), mask_fill=True).masked(IMAGES, 0, CHANCE)
    assert view.ids_keep is None
    painted = patchify(view.images, 4).eq(0).all(2)
    assert (painted.sum(1) == 32).all()
    untouched = patchify(IMAGES, 4)[~painted]
    assert torch.equal(patchify(view.images, 4)[~painted], untouched)


def test_pretraining_with_masks_needs_patches_to_drop_or_fills_them(tmp_path):
    settings = tiny("vicreg", mask=(0.75, 0.0), epochs=1, limit=64, knn_every=0)
    with pytest.raises(UsageError, match="artificial edges around them"):
        twofold.pretrain(out=tmp_path / "no", quiet=True, **settings)
    assert not (tmp_path / "no").exists()
    assert twofold.pretrain(out=tmp_path / "filled", quiet=True, mask_fill=True, **settings).metrics


def test_hidden_rows_are_picked_without_counting_them():
    gone = torch.zeros(5, 16, dtype=torch.bool).scatter(1, torch.rand(5, 16).argsort(1)[:, :6], True)
    rows = torch.randn(5, 16, 3)
    assert torch.equal(of_hidden(rows, gone, 6), rows[gone])
