"""What a loss needs of n x k similarities between rows, in tiles, so that they are never all held at once.

`nearest`: the row that is most alike, without a gradient. `mutual`: sums over rows with each other, where similarities
are alike both ways, so one process computes each of them once, and once more in the backward pass; several processes
share the rows. `mean_against`: sums over other rows; the gradient is known up to one factor when the loss is, so it is
computed with it, and nothing is computed again. `hinges`: of distances, likewise.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from twofold import dist
from twofold.losses.precision import once

TILE = {"cpu": 1 << 20}
"""Similarities held at once, by the kind of device: few enough for a processor's cache, many enough for others."""
LARGE_TILE = 1 << 24
ROWS = 64
"""The fewest rows that are taken at once, as a product of few rows is slow."""
REACH = 50.0
"""The largest similarity whose exponentials are summed as they are: e^50 times a million rows is far from overflow."""

NEAREST = 1e-6
"""The distance below which two embeddings have no direction from each other."""

Same = tuple[Tensor, Tensor] | None


def tile(on: torch.device) -> int:
    """How many similarities are held at once on a device."""
    return TILE.get(on.type, LARGE_TILE)


def rows_at_once(rows: Tensor, width: int) -> int:
    """How many rows of ``width`` similarities are held at once."""
    return max(ROWS, tile(rows.device) // width)


def mutual(rows: Tensor, bounded: bool, gather: bool = False) -> Tensor:
    """log sum over j != i of exp(rows_i . rows_j) for each row i: [n]. Its gradient can be taken once.

    Args:
        rows: [n, d].
        bounded: whether no product is larger than `REACH`; then exponentials are summed as they are, else from the
            largest.
        gather: take the rows of all processes, [n * world]. Each computes its own rows' sums and gradient.
    """
    if len(rows) * (dist.world() if gather else 1) < 2:
        return rows.new_full((len(rows),), -math.inf)
    result: Tensor = _Mutual.apply(rows, bounded, gather)
    return result


def mean_against(rows: Tensor, columns: Tensor, extra: Tensor, same: Same = None) -> Tensor:
    """Mean over rows i of log(exp(extra_i) + sum_j exp(rows_i . columns_j)). Its gradient can be taken once.

    Args:
        rows: [n, d].
        columns: [k, d].
        extra: [n], a logarithm that is in each row's sum.
        same: a number for each row and each column; columns with the row's number are left out.
    """
    if not len(columns):
        return extra.mean()
    row_number, column_number = same or (None, None)
    result: Tensor = _MeanAgainst.apply(rows, columns, extra, row_number, column_number, torch.is_grad_enabled())
    return result


def hinges(rows: Tensor, columns: Tensor, margin: float, first: int = 0) -> Tensor:
    """Sum of max(0, margin - |rows_i - columns_j|)^2 / 2 over j != first + i. Its gradient can be taken once.

    Those that coincide, to 1e-6, get no gradient.
    """
    of = torch.promote_types(rows.dtype, columns.dtype)
    result: Tensor = _Hinges.apply(rows.to(of), columns.to(of), margin, first, torch.is_grad_enabled())
    return result


def nearest(own: Tensor, every: Tensor, first: int = 0) -> Tensor:
    """For each of ``own``, which are those of ``every`` from ``first`` on, the row with the largest product: [n].

    A row is not its own nearest one.
    """
    largest = own.new_full((len(own),), -math.inf)
    found = torch.zeros(len(own), dtype=torch.long, device=own.device)

    def see(rows: slice, products: Tensor, columns: slice) -> None:
        most, place = products.max(1)
        better = most > largest[rows]
        largest[rows] = torch.where(better, most, largest[rows])
        found[rows] = torch.where(better, place + columns.start, found[rows])

    for a, b, products in _tiles(own, every, first, -math.inf, exponential=False):
        see(a, products, b)
        if len(own) == len(every) and a != b:
            see(b, products.T, a)
    return found


class _Mutual(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, bounded: bool, gather: bool) -> Tensor:
        shared = gather and dist.world() > 1
        every = dist.gather(own) if shared else own
        first = dist.rank() * len(own) if shared else 0
        found = own.new_zeros(len(own)) if bounded else own.new_full((len(own),), -math.inf)
        for a, b, products in _tiles(own, every, first, 0.0 if bounded else -math.inf, bounded):
            mirrored = len(own) == len(every) and a != b
            if bounded:
                found[a] += products.sum(1)
                if mirrored:
                    found[b] += products.sum(0)
            else:
                found[a] = torch.logaddexp(found[a], products.logsumexp(1))
                if mirrored:
                    found[b] = torch.logaddexp(found[b], products.logsumexp(0))
        sums = found.log() if bounded else found
        sums = dist.gather(sums) if shared else sums
        one = products if len(every) <= _side(own.device) else None  # a single tile may as well be kept
        ctx.save_for_backward(own, every, sums, one)
        ctx.first, ctx.bounded, ctx.scale = first, bounded, dist.world() if shared else 1
        return sums

    @staticmethod
    @once
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        own, every, sums, one = ctx.saved_tensors
        first, bounded, all_rows = ctx.first, ctx.bounded, slice(None)
        found = torch.zeros_like(own)
        mine = slice(first, first + len(own))
        weight = gradient * (-sums).exp() if bounded else gradient
        with torch.autocast(own.device.type, enabled=False):
            again = _tiles(own, every, first, 0.0 if bounded else -math.inf, bounded)
            for a, b, products in again if one is None else [(all_rows, all_rows, one.clone())]:
                if bounded:
                    shares = products.mul_(weight[mine][a, None] + weight[b])
                else:
                    by_row = (products - sums[mine][a, None]).exp_().mul_(weight[mine][a, None])
                    shares = by_row.add_(products.sub_(sums[b]).exp_().mul_(weight[b]))
                found[a].addmm_(shares, every[b])
                if len(own) == len(every) and a != b:
                    found[b].addmm_(shares.T, own[a])
        return found * ctx.scale, None, None


def _side(on: torch.device) -> int:
    """Rows of a square tile."""
    return max(1, math.isqrt(tile(on)))


def _tiles(
    own: Tensor, every: Tensor, first: int, diagonal: float, exponential: bool
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Tiles of the products, or their exponentials: rows of ``own``, rows of ``every``, and what is between them.

    Where both are the same, each pair comes once: columns before a tile's rows are left out. ``first`` is the place of
    ``own`` in ``every``; a row's product with itself is ``diagonal``. A tile is valid until the next one is taken.
    """
    n, total = len(own), len(every)
    side = _side(own.device)
    space = own.new_empty(min(side, n) * min(side, total))
    for top in range(0, n, side):
        a = slice(top, min(top + side, n))
        for left in range(top if n == total else 0, total, side):
            b = slice(left, min(left + side, total))
            height, width = a.stop - a.start, b.stop - b.start
            products = torch.mm(own[a], every[b].T, out=space[: height * width].view(height, width))
            if exponential:
                products.exp_()
            products.diagonal(first + top - left).fill_(diagonal)
            yield a, b, products


class _MeanAgainst(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        columns: Tensor,
        extra: Tensor,
        row_number: Tensor | None,
        column_number: Tensor | None,
        learning: bool,
    ) -> Tensor:
        to_rows, to_columns, to_extra = (learning and asked for asked in ctx.needs_input_grad[:3])
        of_rows = torch.empty_like(rows) if to_rows else None
        of_columns = torch.zeros_like(columns) if to_columns else None
        of_extra = torch.empty_like(extra) if to_extra else None
        n, total = len(rows), rows.new_zeros(())
        height = min(n, rows_at_once(rows, len(columns)))
        space = rows.new_empty(height * len(columns))
        for first in range(0, n, height):
            some = slice(first, min(first + height, n))
            part = rows[some]
            sums = torch.mm(part, columns.T, out=space[: len(part) * len(columns)].view(len(part), len(columns)))
            if row_number is not None and column_number is not None:
                sums.masked_fill_(row_number[some, None] == column_number, -math.inf)
            largest = torch.maximum(sums.amax(1), extra[some])
            sums.sub_(largest[:, None]).exp_()
            alone = (extra[some] - largest).exp_()
            mass = sums.sum(1).add_(alone)
            total += (largest + mass.log()).sum()
            share = (mass * n).reciprocal_()
            if of_rows is not None:
                torch.mm(sums, columns, out=of_rows[some]).mul_(share[:, None])
            if of_columns is not None:
                of_columns.addmm_(sums.T, part * share[:, None])
            if of_extra is not None:
                of_extra[some] = alone * share
        ctx.save_for_backward(of_rows, of_columns, of_extra)
        return total / n

    @staticmethod
    @once
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of = (None if part is None else part * gradient for part in ctx.saved_tensors)
        return *of, None, None, None


class _Hinges(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, columns: Tensor, margin: float, first: int, learning: bool) -> Tensor:
        to_rows, to_columns = (learning and asked for asked in ctx.needs_input_grad[:2])
        of_rows = torch.zeros_like(rows) if to_rows else None
        of_columns = torch.zeros_like(columns) if to_columns else None
        lengths, others, total = rows.square().sum(1), columns.square().sum(1), rows.new_zeros(())
        side = _side(rows.device)
        for top in range(0, len(rows), side):
            a = slice(top, top + side)
            for left in range(0, len(columns), side):
                b = slice(left, left + side)
                distance = torch.addmm(lengths[a, None] + others[b], rows[a], columns[b].T, alpha=-2)
                distance.clamp_min_(NEAREST**2).sqrt_()
                short = (margin - distance).relu_()
                short.diagonal(first + top - left).fill_(0)
                total += short.square().sum() / 2
                if of_rows is None and of_columns is None:
                    continue
                pull = short.div_(distance).masked_fill_(distance <= NEAREST, 0)
                if of_rows is not None:
                    of_rows[a] += pull @ columns[b] - pull.sum(1, keepdim=True) * rows[a]
                if of_columns is not None:
                    of_columns[b] += pull.T @ rows[a] - pull.sum(0)[:, None] * columns[b]
        ctx.save_for_backward(of_rows, of_columns)
        return total

    @staticmethod
    @once
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of = (None if part is None else part * gradient for part in ctx.saved_tensors)
        return *of, None, None, None
