"""Which images are held out, and which few are drawn."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import blobs
from twofold.errors import UsageError
from twofold.evaluation.split import (
    draw,
    every_fifth,
    hold_out,
    hold_out_groups,
    untested,
)


def test_a_held_out_part_has_every_class_and_shares_no_image():
    _, y = blobs(103, classes=4)
    fitting, held = hold_out(y, 0)
    assert sorted(fitting.tolist() + held.tolist()) == list(range(103))
    assert y[held].bincount().tolist() == [5, 5, 5, 5]
    assert hold_out(y, 0)[1].tolist() == held.tolist() != hold_out(y, 1)[1].tolist()
    assert hold_out(torch.tensor([0] * 50 + [1]), 0) is None  # nothing would be told apart
    y = torch.tensor([0] * 50 + [1] * 50 + [2] * 3)
    assert y[hold_out(y, 0)[1]].bincount().tolist() == [10, 10]  # the third class is only learned from


def test_what_belongs_together_is_held_out_together():
    """The pixels of an image: all of them, or none; a fifth of the images, of 5,000 or more a tenth."""
    groups = torch.arange(20).repeat_interleave(7) * 3
    fitting, held = hold_out_groups(groups, 0)
    assert sorted([*fitting.tolist(), *held.tolist()]) == list(range(140))
    assert set(groups[fitting].tolist()).isdisjoint(groups[held].tolist())
    assert len(groups[held].unique()) == 4
    assert not torch.equal(hold_out_groups(groups, 1)[1], held)
    assert hold_out_groups(torch.arange(4).repeat_interleave(100), 0) is None
    assert len(hold_out_groups(torch.arange(6000), 0)[1]) == 600


LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=200)


@given(LABELS)
def test_every_fifth_image_of_each_class_is_for_testing(labels):
    counts = [labels.count(label) // 5 for label in range(7)]
    tested = sum(count > 0 for count in counts)
    if tested < min(2, len(set(labels))):
        with pytest.raises(
            UsageError, match="only one class in here has five" if tested else "no class in here has five"
        ):
            every_fifth(labels, "here")
        return
    train, test = every_fifth(labels, "here")
    assert sorted(train + test) == list(range(len(labels)))
    assert [sum(labels[number] == label for number in test) for label in range(7)] == counts
    missed = len(set(labels)) - tested
    assert untested(labels, test).startswith(f"; of {len(set(labels))} classes, {missed} with" if missed else "")
    assert bool(untested(labels, test)) == bool(missed)


@given(LABELS, st.integers(0, 2**40))
def test_a_fifth_of_each_class_is_held_out(labels, seed):
    y = torch.tensor(labels)
    found = hold_out(y, seed)
    counts = {label: labels.count(label) // 5 for label in labels}
    if sum(count > 0 for count in counts.values()) < min(2, len(counts)):  # nothing to tell apart
        assert found is None
        return
    fitting, held = (part.tolist() for part in found)
    assert sorted(fitting + held) == list(range(len(labels)))
    assert {label: sum(labels[number] == label for number in held) for label in counts} == counts


@given(LABELS, st.integers(0, 20), st.integers(0, 200), st.integers(0, 2**40))
def test_a_draw_has_its_quota_of_each_class(labels, quota, more, seed):
    y = torch.tensor(labels)
    classes, counts = y.unique(return_counts=True)
    least = counts.clamp(max=quota)
    total = min(len(labels), int(least.sum()) + more)
    drawn = draw(y, torch.full((len(classes),), quota), total, torch.Generator().manual_seed(seed))
    assert len(drawn) == len(drawn.unique()) == total
    assert all((y[drawn] == name).sum() >= count for name, count in zip(classes, least, strict=True))
