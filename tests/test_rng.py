"""Randomness by name."""

import torch

from twofold.rng import Streams

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
