"""The momentum encoder: how it follows, and what passes through it."""

import math

import torch

from tests.methods.making import made
from twofold.batch import Chance, View
from twofold.nets.momentum import MomentumEncoder, shuffled


def test_keys_are_shuffled_over_groups_and_put_back():
    """Each key is its own image's; with batch norm in training, groups change what comes out."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(12))
    encoder = MomentumEncoder((0.9, 1.0), network).train()
    images = torch.randn(16, 3, 2, 2)
    chance = Chance(0, 0, 16, slice(None))
    at_once = shuffled(encoder, View(images), chance, "keys", 1)
    torch.testing.assert_close(at_once, network(images))
    in_groups = shuffled(encoder, View(images), chance, "keys", 4)
    assert not torch.allclose(in_groups, at_once)
    order = chance.shared("keys", 16).argsort()
    for rows in order.chunk(4):
        torch.testing.assert_close(in_groups[rows], network(images[rows]))


def test_momentum_encoder_follows_by_the_schedule():
    """weights <- m * weights + (1 - m) * online, m rising to 1 by a cosine (arXiv 2006.07733, section 3.3)."""
    method, _ = made("byol", momentum=(0.9, 1.0))
    with torch.no_grad():
        for parameter in method.backbone.parameters():
            parameter.add_(1.0)
    before = [p.clone() for p in method.target.stages[0].parameters()]
    method.after_step(0.25)
    m = 1 - (1 - 0.9) * (math.cos(math.pi * 0.25) + 1) / 2
    expected = [m * b + (1 - m) * p for b, p in zip(before, method.backbone.parameters(), strict=True)]
    torch.testing.assert_close(list(method.target.stages[0].parameters()), expected)


def test_nothing_is_dropped_out_of_a_target():
    from tests.conftest import VIT

    settings = VIT | dict(backbone_arguments={"drop_path_rate": 0.5, "proj_drop_rate": 0.5, "attn_drop_rate": 0.5})
    method, batch = made("byol", **settings)
    assert method.backbone.training
    assert torch.equal(method.target(batch.views[0]), method.target(batch.views[0]))
    assert not torch.equal(method.encode(batch.views[0]), method.encode(batch.views[0]))
    norms = [m for m in made("byol")[0].target.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert all(m.training for m in norms)
