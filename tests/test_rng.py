"""Randomness by name."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
import torch

from twofold.rng import Permutation, Streams

STREAMS = Streams(3, ("view", 5))


def test_a_stream_is_a_function_of_seed_and_names_not_of_what_was_drawn_before():
    first = STREAMS.uniform("area", 8)
    STREAMS.normal("noise", (8, 2))
    assert torch.equal(STREAMS.uniform("area", 8), first)
    assert torch.equal(Streams(3).within("view", 5).uniform("area", 8), first)
    others = (Streams(4, ("view", 5)), Streams(3, ("view", 6)), STREAMS.within("own"))
    assert not any(torch.equal(other.uniform("area", 8), first) for other in others)
    assert not torch.equal(STREAMS.uniform("place", 8), first)


def test_what_is_drawn_has_the_range_that_is_asked_for():
    n = 4000
    uniform, integers = STREAMS.uniform("u", (n, 2), -1.0, 3.0), STREAMS.integers("i", n, 5)
    assert uniform.shape == (n, 2)
    assert -1 <= uniform.min() < -0.99
    assert 2.99 < uniform.max() < 3
    assert integers.unique().tolist() == [0, 1, 2, 3, 4]
    assert abs(STREAMS.chance("c", n, 0.3).float().mean() - 0.3) < 0.03
    normal = STREAMS.normal("n", n)
    assert abs(normal.mean()) < 0.06
    assert abs(normal.std() - 1) < 0.05


def shuffled(count, seed, epoch=0):
    return Permutation(count, seed, ("order", epoch))(torch.arange(count)).tolist()


SIZES = [*range(1, 20), 31, 32, 33, 63, 64, 65, 97, 101, 127, 128, 129, 997, 1000, 1023, 1024, 1025, 4099, 65536, 65537]


@pytest.mark.parametrize("count", SIZES)
def test_a_permutation_has_everything_once(count):
    first, second = shuffled(count, 0), shuffled(count, 0, 1)
    assert sorted(first) == sorted(second) == list(range(count))
    if count > 8:
        assert first != second
        assert first != shuffled(count, 1)


def test_a_place_of_a_permutation_is_computed_by_itself():
    whole = torch.tensor(shuffled(1000, 5))
    places = torch.tensor([999, 0, 500, 500])
    assert torch.equal(Permutation(1000, 5, ("order", 0))(places), whole[places])
    assert Permutation(1000, 5, ("order", 0))(places[:0]).tolist() == []


@pytest.mark.parametrize("count", [3, 4, 5])
def test_every_order_of_few_things_is_as_likely(count):
    """Pearson's statistic over all orders has the mean and about the deviation that chance gives it."""
    orders = dict.fromkeys(itertools.permutations(range(count)), 0)
    seeds = 20 * len(orders)
    for seed in range(seeds):
        orders[tuple(shuffled(count, seed))] += 1
    statistic = sum((seen - 20) ** 2 / 20 for seen in orders.values())
    assert abs(statistic - (len(orders) - 1)) < 4 * math.sqrt(2 * (len(orders) - 1))


@pytest.mark.parametrize("count", [97, 1000])
def test_a_permutation_looks_random(count):
    """Each place's mean over seeds; neighbours, and the places of one thing in two epochs, have nothing in common."""
    seeds = 200
    orders = torch.tensor([shuffled(count, seed) for seed in range(seeds)], dtype=torch.float64)
    deviation = math.sqrt((count**2 - 1) / 12)
    means = (orders.mean(0) - (count - 1) / 2) / (deviation / math.sqrt(seeds))
    assert means.abs().max() < 4.5
    assert abs(means.square().mean() - 1) < 5 * math.sqrt(2 / count)
    standardised = (orders - (count - 1) / 2) / deviation
    others = torch.tensor([shuffled(count, seed, 1) for seed in range(seeds)], dtype=torch.float64)
    others = (others - (count - 1) / 2) / deviation
    for products in (standardised[:, 1:] * standardised[:, :-1], standardised * others):
        expected = -1 / (count - 1) if products.shape[1] < count else 0
        assert abs(products.mean() - expected) < 4 / math.sqrt(products.numel())
    steps = (orders[:, 1:] - orders[:, :-1]).remainder(count).long().flatten()
    seen = torch.bincount(steps, minlength=count)[1:].double()
    likely = len(steps) / (count - 1)
    statistic = ((seen - likely) ** 2 / likely).sum()
    assert abs(statistic - (count - 2)) < 4 * math.sqrt(2 * (count - 2))


@pytest.mark.parametrize("count", [10**9, 2**40 + 1])
def test_a_batch_of_very_many_takes_little_memory(count):
    tracemalloc.start()
    batch = Permutation(count, 0, ("order", 0))(torch.arange(count - 4096, count))
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
    assert len(batch.unique()) == 4096
    assert 0 <= batch.min() < count // 100
    assert count - count // 100 < batch.max() < count


def test_whole_numbers_of_any_kind_are_the_same_name():
    plain = Streams(3, ("view", 2)).uniform("area", 4)
    for whole in (np.int64, np.uint8, torch.tensor):
        assert torch.equal(Streams(whole(3), ("view", whole(2))).uniform("area", 4), plain)
    with pytest.raises(TypeError):
        Streams(3.0).uniform("area", 4)
