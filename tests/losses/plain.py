"""What these tests share: a loss and its gradient are those of the formula in its paper, written out in float64."""

import torch

SHAPES = [(6, 3), (4, 9)]  # more samples than dimensions, and fewer: the two forms of the same sum


def embeddings(n, d, count, seed=0):
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(n, d, generator=random, dtype=torch.float64, requires_grad=True) for _ in range(count)]


def assert_same(ours, plain, inputs):
    """Same value, same gradient for every input."""
    torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-12)
    for mine, theirs in zip(torch.autograd.grad(ours, inputs), torch.autograd.grad(plain, inputs), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-12)


def cos(a, b):
    return (a @ b) / (a.norm() * b.norm())
