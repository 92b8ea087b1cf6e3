"""Many problems at once: each is solved as if alone, to where its gradient is zero."""

import torch

from tests.conftest import blobs
from twofold.evaluation import logistic


def test_many_problems_at_once_are_each_alone():
    """Every strength of one set of images, and one strength of several sets; also from another start."""
    x, y = blobs(200, 12, 3)
    x = x.double()
    penalty = torch.tensor([1.0, 0.1, 1e-3], dtype=torch.float64)
    together = logistic.fit(x, y, 3, penalty, tolerance=1e-7)
    for weights, single in zip(together, penalty, strict=True):
        torch.testing.assert_close(logistic.fit(x, y, 3, single[None], tolerance=1e-7)[0], weights, atol=1e-5, rtol=0)
    halves = logistic.fit(torch.stack([x[::2], x[1::2]]), torch.stack([y[::2], y[1::2]]), 3, penalty[[2, 2]])
    for part, weights in enumerate(halves):
        alone = logistic.fit(x[part::2], y[part::2], 3, penalty[2:])
        torch.testing.assert_close(alone[0], weights, atol=1e-2, rtol=0)
    warm = logistic.fit(x, y, 3, penalty, start=together.flip(0), tolerance=1e-7)
    torch.testing.assert_close(warm, together, atol=1e-3, rtol=0)


def test_the_gradient_is_zero_where_it_ends():
    """Of the objective as the docstring has it, by autograd."""
    x, y = blobs(150, 6, 4)
    x, penalty = x.double(), 0.02
    weights = logistic.fit(x, y, 4, torch.tensor([penalty], dtype=torch.float64), tolerance=1e-6)[0].requires_grad_()
    loss = torch.nn.functional.cross_entropy(x @ weights[:-1] + weights[-1], y)
    (gradient,) = torch.autograd.grad(loss + penalty / 2 * weights[:-1].square().sum(), weights)
    assert gradient.abs().max() < 1e-5
