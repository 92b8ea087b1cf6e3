"""Masks, tiles and permutations: what is drawn, and what a network sees of it."""

import pytest
import torch
from scipy.ndimage import label

import twofold
from tests.conftest import tiny
from twofold.augment.masks import Masking, block_order, fill, hidden, random_order
from twofold.augment.tiles import TILES, cut_tiles, distant_permutations, tile_size
from twofold.batch import Chance, View
from twofold.errors import UsageError
from twofold.nets.backbone import BackboneSpec
from twofold.nets.vit import encode, patchify, tokens
from twofold.recipe.recipe import Augment

N = 64
CHANCE = Chance(0, 3, N, slice(None))
RANDOM = torch.Generator().manual_seed(0)
IMAGES = torch.randn(N, 3, 32, 32, generator=RANDOM)


@pytest.fixture(scope="module")
def vit():
    arguments = {"img_size": 32, "patch_size": 4, "dynamic_img_size": True}
    return BackboneSpec("test_vit", arguments, "default", 32, (), ()).build().eval()


@pytest.fixture(scope="module")
def resnet():
    return BackboneSpec("test_resnet", {}, "default", 32, (), ()).build().eval()


@pytest.mark.parametrize("shape", ["random", "block"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.75, 0.99])
def test_the_share_is_exact_and_every_patch_has_its_turn(shape, share, vit):
    view = Masking.of(Augment(mask=(share, 0.0), mask_shape=shape), vit)(IMAGES, 0, CHANCE)
    assert view.ids_keep.shape == (N, 64 - round(64 * share))
    assert all(len(set(row)) == len(row) for row in view.ids_keep.tolist())
    assert (view.ids_keep.diff() > 0).all()  # in reading order
    many = Chance(0, 3, 2000, slice(None))
    order = (block_order if shape == "block" else random_order)(many, "mask", 8)
    masked = torch.zeros(2000, 64).scatter(1, order[:, : round(64 * share)], 1.0)
    assert masked.mean(0).min() > 0.1 * share  # corners are in few rectangles
    assert masked.mean().item() == pytest.approx(round(64 * share) / 64)


def test_blocks_hang_together():
    """At a half, masked patches of blocks form far fewer pieces than random ones."""
    pieces = []
    for order in (block_order(CHANCE, "mask", 8), random_order(CHANCE, "mask", 8)):
        masked = torch.zeros(N, 64).scatter(1, order[:, :32], 1.0).view(N, 8, 8)
        pieces.append(sum(label(image.numpy())[1] for image in masked) / N)
    assert pieces[0] < 0.5 * pieces[1]


def test_masks_are_a_function_of_seed_step_and_view_not_of_processes(vit):
    masking = Masking.of(Augment(mask=(0.75, 0.75)), vit)
    whole = masking(IMAGES, 0, CHANCE).ids_keep
    rows = slice(16, 32)
    part = masking(IMAGES[rows], 0, Chance(0, 3, N, rows)).ids_keep
    assert torch.equal(part, whole[rows])
    assert not torch.equal(masking(IMAGES, 1, CHANCE).ids_keep, whole)
    assert not torch.equal(masking(IMAGES, 0, Chance(0, 4, N, slice(None))).ids_keep, whole)
    assert not torch.equal(masking(IMAGES, 0, Chance(1, 3, N, slice(None))).ids_keep, whole)


def test_masked_patches_are_dropped_not_seen(vit):
    """What is in a masked patch changes nothing, and fewer tokens are computed."""
    view = Masking.of(Augment(mask=(0.75, 0.0)), vit)(IMAGES, 0, CHANCE)
    assert tokens(vit, view).shape[1] == 16 + vit.num_prefix_tokens
    other = torch.where(fill(torch.ones_like(IMAGES), (~hidden(view, 64)).nonzero()[:, 1].view(N, -1), 8) > 0,
                        IMAGES + 100, IMAGES)  # fmt: skip
    assert not torch.equal(other, IMAGES)
    torch.testing.assert_close(encode(vit, View(other, view.ids_keep)), encode(vit, view))


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


def test_a_convolution_refuses_masks_and_says_why(resnet):
    with pytest.raises(UsageError, match="artificial edges"):
        Masking.of(Augment(mask=(0.0, 0.5)), resnet)
    view = Masking.of(Augment(mask=(0.5, 0.0), mask_fill=True), resnet)(IMAGES, 0, CHANCE)
    assert view.ids_keep is None
    painted = patchify(view.images, 4).eq(0).all(2)
    assert (painted.sum(1) == 32).all()
    untouched = patchify(IMAGES, 4)[~painted]
    assert torch.equal(patchify(view.images, 4)[~painted], untouched)


def test_masking_runs_with_a_joint_embedding_method(tmp_path):
    settings = tiny(
        "vicreg", backbone="test_vit", backbone_arguments={}, image_size=16, mask=(0.75, 0.0), mask_shape="block"
    )
    run = twofold.pretrain(out=tmp_path / "run", quiet=True, **settings)
    assert run.metrics[-1]["loss"] < run.metrics[0]["loss"]
    with pytest.raises(UsageError, match="mask"):
        twofold.pretrain(out=tmp_path / "no", quiet=True, **tiny("vicreg", mask=(0.75, 0.0)))
    assert not (tmp_path / "no").exists()
    filled = tiny("vicreg", mask=(0.5, 0.0), mask_fill=True, epochs=1)
    assert twofold.pretrain(out=tmp_path / "filled", quiet=True, **filled).metrics


@pytest.mark.parametrize(("method", "words"), [("mae", "vision transformer"), ("data2vec", "vision transformer")])
def test_transformer_methods_say_what_they_need(method, words, tmp_path):
    settings = tiny(method, backbone="test_resnet", backbone_arguments={}, image_size=32)
    with pytest.raises(UsageError, match=words):
        twofold.pretrain(out=tmp_path / "run", quiet=True, **settings)
    assert not (tmp_path / "run").exists()


def test_tiles_have_gaps_and_no_colour_of_their_own():
    places = torch.rand(N, 2 * TILES, generator=RANDOM)
    size = tile_size(72)
    assert size == 20  # of a cell of 24
    images = torch.arange(72 * 72.0).view(1, 1, 72, 72).expand(N, 3, 72, 72)
    tiles = cut_tiles(images, size, places)
    assert tiles.shape == (N, TILES, 3, size, size)
    mean, deviation = images.mean((-2, -1))[:, None], images.std((-3, -2, -1), correction=0)[:, None]
    torch.testing.assert_close(tiles.mean((-2, -1)), mean.expand(N, TILES, 3))
    torch.testing.assert_close(tiles.std((-3, -2, -1), correction=0), deviation.expand(N, TILES), rtol=1e-3, atol=0)


def test_tiles_come_from_their_own_cells():
    """Against plain slicing, one tile at a time: every place in a cell of 24 is taken by some sample."""
    images = torch.randn(20, 3, 72, 72, generator=RANDOM)
    mean = images.mean((-2, -1), keepdim=True)
    spread = (images - mean).square().mean((-3, -2, -1)).sqrt()
    places = torch.rand(20, 2 * TILES, generator=RANDOM)
    tiles, shifts = cut_tiles(images, 20, places), set()
    for n in range(20):
        for tile in range(TILES):
            down, right = (int(places[n, 2 * tile + i].item() * 5) for i in (0, 1))
            top, left = tile // 3 * 24 + down, tile % 3 * 24 + right
            plain = images[n, :, top : top + 20, left : left + 20]
            plain = torch.stack([channel - channel.mean() for channel in plain])
            expected = plain * spread[n] / (plain.square().mean().sqrt() + 0.01) + mean[n]
            torch.testing.assert_close(tiles[n, tile], expected)
            shifts |= {down, right}
    assert shifts == {0, 1, 2, 3, 4}


def test_a_view_too_small_for_tiles_is_said():
    with pytest.raises(UsageError, match="larger --image-size"):
        tile_size(8)
    assert tile_size(224, 16) == 48


def test_permutations_are_far_apart():
    chosen = distant_permutations(50, 0)
    assert chosen.sort(1).values.eq(torch.arange(9)).all()
    distance = (chosen[:, None] != chosen).sum(2)
    apart = distance[~torch.eye(50, dtype=torch.bool)]
    drawn = torch.stack([torch.randperm(9, generator=RANDOM) for _ in range(50)])
    random = (drawn[:, None] != drawn).sum(2)[~torch.eye(50, dtype=torch.bool)]
    assert apart.min() >= 7
    assert random.min() < 7
    assert apart.float().mean() > random.float().mean()
    assert torch.equal(chosen, distant_permutations(50, 0))
    assert not torch.equal(chosen, distant_permutations(50, 1))
