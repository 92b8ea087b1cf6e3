"""Rotation's turns."""

import torch

from tests.methods.making import inputs_of, loss_of, made


def test_rotation_is_told_by_the_pixels():
    """All four turns of each image go through; the target is the turn."""
    method, batch = made("rotation")
    seen = inputs_of(method.backbone, lambda: loss_of(method, batch))
    turned = seen[0].unflatten(0, (4, 32))
    images = batch.views[0].images
    assert torch.equal(turned[0], images)
    assert torch.equal(turned[1][:, :, 0], images[:, :, :, -1])  # a quarter turn: the last column becomes the first row
    assert torch.equal(turned[2], images.flip(2, 3))
