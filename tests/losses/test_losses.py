"""Every loss and its gradient against the paper's formula, written here as plain loops in float64."""

import math

import pytest
import torch
from torch.nn import functional as F

from twofold import losses
from twofold.losses import contrastive

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


def plain_nt_xent(x, y, t):
    views = [*x, *y]
    n, total = len(x), 0.0
    for i, view in enumerate(views):
        partner = views[(i + n) % (2 * n)]
        others = sum(torch.exp(cos(view, other) / t) for k, other in enumerate(views) if k != i)
        total = total - torch.log(torch.exp(cos(view, partner) / t) / others)
    return total / (2 * n)


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("block", [contrastive.BLOCK, 20])
def test_nt_xent(n, d, block, monkeypatch):
    monkeypatch.setattr(contrastive, "BLOCK", block)
    x, y = embeddings(n, d, 2)
    assert_same(losses.nt_xent(x, y, 0.3), plain_nt_xent(x, y, 0.3), [x, y])


@pytest.mark.parametrize("block", [contrastive.BLOCK, 10])
def test_info_nce(block, monkeypatch):
    monkeypatch.setattr(contrastive, "BLOCK", block)
    query, key = embeddings(5, 4, 2)
    (negatives,) = embeddings(7, 4, 1, seed=1)
    total = 0.0
    for q, k in zip(query, key, strict=True):
        positive = torch.exp(cos(q, k) / 0.2)
        total = total - torch.log(positive / (positive + sum(torch.exp(cos(q, m) / 0.2) for m in negatives)))
    assert_same(losses.info_nce(query, key, negatives, 0.2), total / 5, [query, key, negatives])


def test_attraction_and_repulsion_are_the_two_halves_of_info_nce():
    x, y = embeddings(5, 4, 2)
    (memory,) = embeddings(3, 4, 1, seed=1)
    plain = sum((1 - cos(a, b)) / 0.3 for a, b in zip(x, y, strict=True)) / 5
    assert_same(losses.attraction(x, y, 0.3), plain, [x, y])
    products = sum((1 - a @ b) / 0.3 for a, b in zip(x, y, strict=True)) / 5
    assert_same(losses.attraction(x, y, 0.3, normalize=False), products, [x, y])
    views = [*x, *y]
    total = 0.0
    for i, view in enumerate(views):
        others = [other for k, other in enumerate(views) if k != i] + list(memory)
        total = total + torch.log(sum(torch.exp((cos(view, other) - 1) / 0.3) for other in others)) / 10
    assert_same(losses.repulsion(x, y, 0.3, memory=memory), total, [x, y, memory])
    whole = losses.attraction(x, y, 0.3) + losses.repulsion(x, y, 0.3)
    assert_same(whole, plain_nt_xent(x, y, 0.3), [x, y])


def test_a_negative_of_the_same_image_is_left_out():
    query, key = embeddings(4, 3, 2)
    (negatives,) = embeddings(6, 3, 1, seed=1)
    number, numbers = torch.arange(4), torch.tensor([0, 5, 1, 1, 7, 3])
    total = 0.0
    for i in range(4):
        others = [key[i], *(n for n, k in zip(negatives, numbers, strict=True) if k != i)]
        total = total + torch.log(sum(torch.exp((cos(query[i], other) - 1) / 0.2) for other in others)) / 4
    ours = losses.repulsion_from(query, key, negatives, (number, numbers), 0.2)
    assert_same(ours, total, [query, key, negatives])


def plain_covariance(x):
    n, d = x.shape
    mean = sum(x) / n
    c = sum(torch.outer(row - mean, row - mean) for row in x) / (n - 1)
    return sum(c[i, j] ** 2 for i in range(d) for j in range(d) if i != j) / d


def plain_variance(x):
    n, d = x.shape
    total = 0.0
    for j in range(d):
        column = x[:, j]
        deviation = torch.sqrt(((column - column.mean()) ** 2).sum() / (n - 1) + 1e-4)
        total = total + torch.clamp(1 - deviation, min=0)
    return total / d


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_vicreg(n, d):
    x, y = embeddings(n, d, 2)
    x, y = x * 0.7, y * 1.1  # so that some hinges are open and some closed
    invariance = ((x - y) ** 2).sum() / (n * d)
    plain = 25 * invariance + 12.5 * (plain_variance(x) + plain_variance(y)) + plain_covariance(x) + plain_covariance(y)
    assert_same(losses.vicreg(x, y), plain, [x, y])
    assert_same(losses.variance(x), plain_variance(x), [x])
    assert_same(losses.covariance(x), plain_covariance(x), [x])


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_barlow_twins(n, d):
    x, y = embeddings(n, d, 2)
    a, b = (((z - z.mean(0)) / torch.sqrt(((z - z.mean(0)) ** 2).mean(0) + 1e-5)) for z in (x, y))
    plain = 0.0
    for i in range(d):
        for j in range(d):
            c = (a[:, i] * b[:, j]).sum() / n
            plain = plain + ((c - 1) ** 2 if i == j else 0.0051 * c**2)
    assert_same(losses.barlow_twins(x, y), plain, [x, y])


def test_cosines_and_squared():
    x, y = embeddings(5, 4, 2)

    def mean():
        return sum(cos(a, b) for a, b in zip(x, y, strict=True)) / 5

    assert_same(losses.negative_cosine(x, y), -mean(), [x, y])
    assert_same(losses.cosine(x, y), 2 - 2 * mean(), [x, y])
    assert_same(losses.squared(x, y), ((x - y) ** 2).sum() / 20, [x, y])


def test_smooth_l1():
    x, y = embeddings(5, 4, 2)
    x, y = 3 * x, 3 * y
    parts = [d**2 / 4 if abs(d) < 2 else abs(d) - 1 for d in (x - y).flatten()]
    assert_same(losses.smooth_l1(x, y, beta=2.0), sum(parts) / 20, [x, y])


def plain_sinkhorn(scores, epsilon, iterations):
    q = torch.exp(scores / epsilon)
    for _ in range(iterations):
        q = q / q.sum(0) / q.shape[1]
        q = q / q.sum(1, keepdim=True) / q.shape[0]
    return q * q.shape[0]


def test_sinkhorn():
    (scores,) = embeddings(12, 4, 1)
    ours = losses.sinkhorn(scores, 0.5, 3)
    torch.testing.assert_close(ours, plain_sinkhorn(scores, 0.5, 3).detach())
    torch.testing.assert_close(ours.sum(1), torch.ones(12, dtype=torch.float64))
    many = losses.sinkhorn(scores, 0.5, 300)
    torch.testing.assert_close(many.sum(0), torch.full((4,), 3.0, dtype=torch.float64))  # clusters of equal size
    assert torch.isfinite(losses.sinkhorn(scores * 100, 0.01)).all()  # where exp() itself would overflow
    assert not ours.requires_grad


def test_swapped_prediction():
    x, y = embeddings(6, 4, 2)

    def half(scores, codes):
        return -(codes * torch.log_softmax(scores / 0.1, 1)).sum(1).mean()

    codes_x, codes_y = (plain_sinkhorn(s, 0.5, 3).detach() for s in (x, y))
    plain = (half(x, codes_y) + half(y, codes_x)) / 2
    assert_same(losses.swapped_prediction(x, y, 0.1, 0.5, 3), plain, [x, y])


def test_dino():
    student, teacher = embeddings(6, 4, 2)
    (center,) = embeddings(1, 4, 1, seed=2)
    target = torch.softmax((teacher - center) / 0.04, 1).detach()
    plain = -(target * torch.log_softmax(student / 0.1, 1)).sum(1).mean()
    assert_same(losses.dino(student, teacher, center), plain, [student])
    assert not torch.autograd.grad(losses.dino(student, teacher, center), teacher, allow_unused=True)[0]


def test_trivial_values():
    """What a collapsed batch costs, as the documentation of each loss says."""
    x = torch.ones(8, 5, dtype=torch.float64)
    assert losses.nt_xent(x, x).item() == pytest.approx(math.log(15))
    assert losses.info_nce(x, x, x).item() == pytest.approx(math.log(9))
    assert losses.vicreg(x, x).item() == pytest.approx(25 * 0.99)
    assert losses.negative_cosine(x, x).item() == pytest.approx(-1)
    assert losses.cosine(x, x).item() == pytest.approx(0)


@pytest.mark.parametrize("loss", [losses.nt_xent, losses.vicreg, losses.barlow_twins, losses.negative_cosine])
def test_half_precision_is_raised(loss):
    """In bf16 and under autocast a loss is what float32 makes of the same numbers."""
    x, y = (e.detach().bfloat16() for e in embeddings(16, 8, 2))
    expected = loss(x.float(), y.float())
    assert expected.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(loss(x, y), expected, rtol=0, atol=0)


def test_normalised_embeddings_give_the_same():
    x, y = embeddings(6, 4, 2)
    torch.testing.assert_close(losses.nt_xent(x, y), losses.nt_xent(F.normalize(x), 3 * y))
