"""Sums over pairs in tiles, against the whole matrix at once."""

import pytest
import torch

from tests.losses.plain import assert_same, embeddings
from twofold.losses import pairs
from twofold.losses.pairs import mean_against, mutual


def whole(rows):
    """The sums of `mutual` from one matrix."""
    own = torch.eye(len(rows), dtype=torch.bool)
    return (rows @ rows.T).masked_fill(own, -torch.inf).logsumexp(1)


@pytest.mark.parametrize("tile", [1, 9, 16, 1 << 20])
@pytest.mark.parametrize("bounded", [True, False])
def test_rows_with_each_other(tile, bounded, monkeypatch):
    """Sums are weighed unevenly, so that a pair's two directions are told apart."""
    monkeypatch.setitem(pairs.TILE, "cpu", tile)
    (rows,) = embeddings(11, 3, 1)
    weights = torch.arange(11.0, dtype=torch.float64) - 3
    assert_same((mutual(rows, bounded) * weights).sum(), (whole(rows) * weights).sum(), [rows])


def test_rows_with_each_other_by_differences():
    (rows,) = embeddings(5, 2, 1)
    for bounded in (True, False):
        assert torch.autograd.gradcheck(lambda x, b=bounded: mutual(x, b), rows)


def test_large_products_overflow_nothing():
    """Where products are not bounded, sums are taken from the largest one: in float32 e^500 is infinite."""
    (rows,) = embeddings(6, 3, 1)
    large = (30 * rows).float().detach().requires_grad_()
    found, plain = mutual(large, False).sum(), whole(large.double()).sum()
    torch.testing.assert_close(found.double(), plain, rtol=1e-6, atol=0)
    (gradient,) = torch.autograd.grad(found, large)
    (expected,) = torch.autograd.grad(plain, large)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rows_at_once", [1, 3, 64])
@pytest.mark.parametrize("numbered", [False, True])
def test_rows_against_others(rows_at_once, numbered, monkeypatch):
    monkeypatch.setitem(pairs.TILE, "cpu", 1)
    monkeypatch.setattr(pairs, "ROWS", rows_at_once)
    rows, columns = embeddings(7, 3, 2)
    (extra,) = embeddings(7, 1, 1, seed=1)
    number, numbers = torch.arange(7), torch.tensor([0, 0, 9, 3, 9, 6, 1])
    products = rows @ columns.T
    if numbered:
        products = products.masked_fill(number[:, None] == numbers, -torch.inf)
    plain = torch.cat([products, extra], 1).logsumexp(1).mean()
    same = (number, numbers) if numbered else None
    inputs = [rows, columns, extra]
    assert_same(3 * mean_against(rows, columns, extra[:, 0], same) ** 2, 3 * plain**2, inputs)
    assert torch.autograd.gradcheck(lambda r, c, e: mean_against(r, c, e[:, 0], same), inputs)


def test_a_row_whose_others_are_all_left_out_has_its_own_alone():
    rows, columns = embeddings(2, 3, 2)
    extra = torch.tensor([0.5, 0.25], dtype=torch.float64, requires_grad=True)
    number = torch.zeros(2, dtype=torch.long)
    found = mean_against(rows, columns, extra, (number, number))
    assert found.item() == 0.375
    for gradient, expected in zip(torch.autograd.grad(found, [rows, extra]), (0, 0.5), strict=True):
        assert torch.equal(gradient, torch.full_like(gradient, expected))
    assert mean_against(rows, columns[:0], extra).item() == 0.375


def test_what_needs_no_gradient_gets_none():
    rows, columns = embeddings(4, 3, 2)
    found = mean_against(rows, columns.detach(), rows[:, 0])
    assert torch.autograd.grad(found, columns, allow_unused=True, retain_graph=True) == (None,)
    assert torch.autograd.grad(found, rows)[0].abs().max() > 0
    with torch.no_grad():
        assert not mean_against(rows, columns, rows[:, 0]).requires_grad


def test_autocast_around_the_backward_pass_lowers_nothing():
    rows = embeddings(40, 8, 1)[0].float().detach().requires_grad_()
    (expected,) = torch.autograd.grad(mutual(rows, True).sum(), rows)
    sums = mutual(rows, True).sum()
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = torch.autograd.grad(sums, rows)
    assert torch.equal(found, expected)
