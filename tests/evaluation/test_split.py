"""Which images are held out, and which few are drawn."""

import torch

from tests.conftest import blobs
from twofold.evaluation.split import hold_out


def test_a_held_out_part_has_every_class_and_shares_no_image():
    _, y = blobs(103, classes=4)
    fitting, held = hold_out(y, 0)
    assert sorted(fitting.tolist() + held.tolist()) == list(range(103))
    assert y[held].bincount().tolist() == [5, 5, 5, 5]
    assert hold_out(y, 0)[1].tolist() == held.tolist() != hold_out(y, 1)[1].tolist()
    assert hold_out(torch.tensor([0] * 50 + [1]), 0) is None  # too few of one to hold any out
