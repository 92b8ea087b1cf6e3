"""Multinomial logistic regression, several problems at once: full-batch L-BFGS to convergence.

Problem b minimises  mean over i of -log softmax(x_i W_b + c_b)[y_i]  +  penalty_b / 2 |W_b|^2,  c_b unpenalised.
It is convex, so that what is found does not depend on how: scikit-learn's LogisticRegression has the same minimum.
"""

from collections import deque

import torch
from torch import Tensor

MEMORY = 10
"""How many steps' curvature is remembered."""
ITERATIONS = 1000
ELEMENTS = 1 << 20
"""How many logits are computed at once: so many stay in the processor's cache."""
SUFFICIENT = 1e-4
"""The share of the decrease that the slope promises which a step must make (Armijo's condition)."""
HALVINGS = 30
STALLED = 3
"""After so many steps that gain nothing in this precision a problem is done."""


def fit(
    x: Tensor, y: Tensor, classes: int, penalty: Tensor, start: Tensor | None = None, tolerance: float = 1e-4
) -> Tensor:
    """The weights of B problems, the intercepts as their last row: [B, D + 1, K].

    Args:
        x: features [N, D] that all problems share, or [B, N, D].
        y: class numbers, 0 to K - 1: [N] or [B, N].
        penalty: [B], above 0. Two classes count it twice, as one vector of weights stands for both in scikit-learn.
        start: weights to begin with, as they are returned; by default 0.
        tolerance: a problem is done when the gradient's length, in the metric of the Hessian at 0, is this share of
            what it is there. The loss is then about its square from the minimum, as a share of what was gained.

    Computed in the features' precision; float32 is enough for what is predicted.
    """
    if x.shape[-2] < x.shape[-1]:  # weights lie in the span of the images: as many dimensions will do
        basis, coordinates = torch.linalg.qr(x.mT)
        inside = None if start is None else _with_row(basis.mT @ start[:, :-1], start[:, -1:])
        found = fit(coordinates.mT, y, classes, penalty, inside, tolerance)
        return _with_row(basis @ found[:, :-1], found[:, -1:])
    return _descend(_Problems(x, y, classes, penalty), start, tolerance)


def _with_row(weights: Tensor, row: Tensor) -> Tensor:
    return torch.cat([weights, row], 1)


class _Problems:
    """The problems that are not done yet. Rows of ``x`` end in a 1, for the intercept."""

    def __init__(self, x: Tensor, y: Tensor, classes: int, penalty: Tensor) -> None:
        self.x = torch.cat([x, x.new_ones(*x.shape[:-1], 1)], -1)
        self.y, self.classes = y, classes
        self.penalty = penalty.to(x)[:, None, None] * (2 if classes == 2 else 1)
        self.penalised = x.new_ones(self.x.shape[-1], 1)
        self.penalised[-1] = 0
        # The Hessian at 0, apart from the constraint that the classes' gradients sum to 0. Rows beyond four times the
        # dimensions change it little.
        thinned = self.x[..., :: max(1, x.shape[-2] // (4 * x.shape[-1])), :]
        hessian = thinned.mT @ thinned / (thinned.shape[-2] * classes)
        self.root = _root(hessian + torch.diag_embed((self.penalty * self.penalised)[..., 0]), 1 / classes)

    def keep(self, rows: Tensor) -> None:
        self.penalty, self.root = self.penalty[rows], self.root[rows]
        if self.x.ndim == 3:
            self.x, self.y = self.x[rows], self.y[rows]

    def precondition(self, gradient: Tensor) -> Tensor:
        return torch.cholesky_solve(gradient, self.root)

    def loss(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The losses [B] and their gradients [B, D + 1, K]."""
        count = self.x.shape[-2]
        rows = max(1, ELEMENTS // (len(weights) * self.classes))
        total, gradient = weights.new_zeros(len(weights)), torch.zeros_like(weights)
        shared = self.x.ndim == 2
        for first in range(0, count, rows):
            x, y = self.x[..., first : first + rows, :], self.y[..., first : first + rows]
            logits = torch.einsum("nd,bdk->bnk" if shared else "bnd,bdk->bnk", x, weights)
            y = y.expand(len(weights), -1)[..., None]
            logs = logits.log_softmax(2)
            total -= logs.gather(2, y)[..., 0].sum(1)
            error = logs.exp_().scatter_add_(2, y, logs.new_full((), -1.0).expand(y.shape))
            gradient += torch.einsum("nd,bnk->bdk" if shared else "bnd,bnk->bdk", x, error)
        decay = self.penalty * self.penalised * weights
        return total / count + (decay * weights).sum((1, 2)) / 2, gradient / count + decay


def _root(matrices: Tensor, size: float) -> Tensor:
    """Cholesky factors of matrices with eigenvalues up to about ``size``, some perhaps lost in rounding."""
    identity = torch.eye(matrices.shape[-1]).to(matrices)
    for share in (1e-6, 1e-5, 1e-4):
        root, failed = torch.linalg.cholesky_ex(matrices + share * size * identity)
        if not failed.any():
            break
    else:
        root = torch.linalg.cholesky(matrices + 1e-2 * size * identity)
    found: Tensor = root
    return found


def _descend(problems: _Problems, start: Tensor | None, tolerance: float) -> Tensor:
    """L-BFGS by the two-loop recursion, every problem with its own step; those that are done leave."""
    shape = (len(problems.penalty), problems.x.shape[-1], problems.classes)
    weights = problems.x.new_zeros(shape) if start is None else start.to(problems.x)
    zero = problems.loss(torch.zeros_like(weights))[1]
    goal = tolerance**2 * _dot(zero, problems.precondition(zero))
    loss, gradient = problems.loss(weights)
    result, left = weights.clone(), torch.arange(len(weights), device=weights.device)
    past: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=MEMORY)
    stalled, smallest = torch.zeros_like(left), torch.finfo(loss.dtype).eps
    for _ in range(ITERATIONS):
        result[left] = weights
        going = (_dot(gradient, problems.precondition(gradient)) > goal) & (stalled < STALLED)
        if not going.all():
            weights, gradient, loss = weights[going], gradient[going], loss[going]
            goal, left, stalled = goal[going], left[going], stalled[going]
            past = deque(((s[going], y[going], r[going]) for s, y, r in past), maxlen=MEMORY)
            problems.keep(going)
        if not len(left):
            break
        direction = -_inverse(problems, past, gradient)
        slope = _dot(gradient, direction)
        step = torch.ones_like(loss)
        for _ in range(HALVINGS):
            moved = weights + step[:, None, None] * direction
            new, new_gradient = problems.loss(moved)
            low = new <= loss + SUFFICIENT * step * slope + 4 * smallest * loss
            if low.all():
                break
            step = torch.where(low, step, step / 2)
        change, turn = moved - weights, new_gradient - gradient
        curvature = _dot(change, turn)
        past.append((change, turn, torch.where(curvature > 0, 1 / curvature, 0.0)))
        stalled = torch.where(loss - new <= smallest * loss, stalled + 1, 0)
        weights, loss, gradient = moved, new, new_gradient
    return result


def _inverse(problems: _Problems, past: "deque[tuple[Tensor, Tensor, Tensor]]", gradient: Tensor) -> Tensor:
    """The inverse Hessian, as far as it is known, times the gradient."""
    shares = []
    for change, turn, inverse in reversed(past):
        share = inverse * _dot(change, gradient)
        gradient = gradient - share[:, None, None] * turn
        shares.append(share)
    out = problems.precondition(gradient)
    if past:
        change, turn, inverse = past[-1]
        size = _dot(turn, problems.precondition(turn)) * inverse
        out = out / torch.where(size > 0, size, 1.0)[:, None, None]
    for (change, turn, inverse), share in zip(past, reversed(shares), strict=True):
        out = out + (share - inverse * _dot(turn, out))[:, None, None] * change
    return out


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2))
