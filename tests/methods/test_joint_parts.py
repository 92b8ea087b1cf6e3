"""The two sides of `joint`, its energies, and what the y side's scores become."""

import pytest
import torch

from tests.conftest import resolved
from tests.losses.plain import embeddings
from twofold import losses
from twofold.methods import joint_parts as parts


def options(**settings):
    return resolved("joint", projector=(5,), **settings).options


@pytest.mark.parametrize("name", ["squared", "cosine", "negative_cosine", "smooth_l1", "correlation", "cross_entropy"])
def test_what_an_energy_costs_when_all_embeddings_are_alike(name):
    rows = torch.ones(8, 5, dtype=torch.float64)
    o = options(energy=name, energy_weight=3.0)
    energy, (code,) = parts.Energy(o, 5), parts.Codes(o, 5)([rows, rows[:0]])
    assert energy(rows, code).item() == pytest.approx(energy.collapsed())


def test_the_two_sides_have_temperatures_of_their_own():
    x, y = embeddings(6, 5, 2)
    o = options(energy="cross_entropy", energy_weight=1.0, temperature=0.5, target_temperature=0.1)
    (code,) = parts.Codes(o, 5)([y, y[:0]])
    plain = -((y / 0.1).softmax(1) * (x / 0.5).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(parts.Energy(o, 5)(x, code), plain)
    assert options(energy="cross_entropy", temperature=0.5).target_temperature == 0.5


def test_sinkhorn_balances_each_view_with_the_memory():
    x, y, past = embeddings(6, 5, 3)
    codes = parts.Codes(options(energy="cross_entropy", codes="sinkhorn", target_temperature=0.5), 5)([x, y, past])
    for found, scores in zip(codes, (x, y), strict=True):
        torch.testing.assert_close(found, losses.sinkhorn(torch.cat([scores, past]), 0.5)[:6])
        assert not found.requires_grad


def test_the_centre_follows_the_scores_after_they_were_used():
    x, y = embeddings(6, 5, 2)
    codes = parts.Codes(options(energy="cross_entropy", codes="centred", target_temperature=0.5), 5).double()
    centre = torch.zeros(5, dtype=torch.float64)
    for _ in range(3):
        for found, scores in zip(codes([x, y, x[:0]]), (x, y), strict=True):
            torch.testing.assert_close(found, ((scores - centre) / 0.5).softmax(1).detach())
            assert not found.requires_grad
        centre = 0.9 * centre + 0.1 * torch.cat([x, y]).mean(0).detach()
    assert "centre" in codes.state_dict()


def test_other_energies_take_the_y_side_as_it_is():
    x, y = embeddings(6, 5, 2)
    assert parts.Codes(options(), 5)([x, y, x[:0]]) == [x, y]
