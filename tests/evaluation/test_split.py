"""Which images are held out, and which few are drawn."""

import torch

from tests.conftest import blobs
from twofold.evaluation.split import hold_out, hold_out_groups


def test_a_held_out_part_has_every_class_and_shares_no_image():
    _, y = blobs(103, classes=4)
    fitting, held = hold_out(y, 0)
    assert sorted(fitting.tolist() + held.tolist()) == list(range(103))
    assert y[held].bincount().tolist() == [5, 5, 5, 5]
    assert hold_out(y, 0)[1].tolist() == held.tolist() != hold_out(y, 1)[1].tolist()
    assert hold_out(torch.tensor([0] * 50 + [1]), 0) is None  # too few of one to hold any out


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
