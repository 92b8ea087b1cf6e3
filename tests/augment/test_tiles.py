"""Tiles and the orders they are shuffled by."""

import pytest
import torch

from twofold.augment.tiles import TILES, cut_tiles, distant_permutations, evened, tile_size
from twofold.errors import UsageError

N = 64
RANDOM = torch.Generator().manual_seed(0)


def test_tiles_have_gaps_and_evened_no_colour_of_their_own():
    places = torch.rand(N, 2 * TILES, generator=RANDOM)
    size = tile_size(72)
    assert size == 20  # of a cell of 24
    images = torch.arange(72 * 72.0).view(1, 1, 72, 72).expand(N, 3, 72, 72)
    tiles = evened(cut_tiles(images, size, places), images)
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
    even = evened(tiles, images)
    for n in range(20):
        for tile in range(TILES):
            down, right = (int(places[n, 2 * tile + i].item() * 5) for i in (0, 1))
            top, left = tile // 3 * 24 + down, tile % 3 * 24 + right
            plain = images[n, :, top : top + 20, left : left + 20]
            assert torch.equal(tiles[n, tile], plain)
            plain = torch.stack([channel - channel.mean() for channel in plain])
            expected = plain * spread[n] / (plain.square().mean().sqrt() + 0.01) + mean[n]
            torch.testing.assert_close(even[n, tile], expected)
            shifts |= {down, right}
    assert shifts == {0, 1, 2, 3, 4}


def test_a_view_too_small_for_tiles_is_said():
    with pytest.raises(UsageError, match="larger --image-size"):
        tile_size(8)
    assert tile_size(224, 16) == 48


def test_permutations_are_far_apart():
    chosen = distant_permutations(20, 0)
    assert chosen.sort(1).values.eq(torch.arange(9)).all()
    distance = (chosen[:, None] != chosen).sum(2)
    apart = distance[~torch.eye(20, dtype=torch.bool)]
    drawn = torch.stack([torch.randperm(9, generator=RANDOM) for _ in range(20)])
    random = (drawn[:, None] != drawn).sum(2)[~torch.eye(20, dtype=torch.bool)]
    assert apart.min() >= 7
    assert random.min() < 7
    assert apart.float().mean() > random.float().mean()
    assert torch.equal(chosen[:5], distant_permutations(5, 0))  # of more the first are the same
    assert not torch.equal(chosen[:5], distant_permutations(5, 1))
