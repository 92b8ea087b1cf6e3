"""Assignments to prototypes, against plain loops."""

import pytest
import torch

from tests.losses.plain import assert_same, embeddings
from twofold import losses


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
    assert not ours.requires_grad


@pytest.mark.parametrize("iterations", [0, 1, 3, 10])
@pytest.mark.parametrize("factor", [1, 100, 10000])
def test_sinkhorn_of_scores_whose_exponential_no_number_holds(factor, iterations):
    """Float32, as in a run, against the same iterations on logarithms in float64."""
    (scores,) = embeddings(12, 4, 1)
    log = scores * factor / 0.05
    for _ in range(iterations):
        log = log - log.logsumexp(0, keepdim=True)
        log = log - log.logsumexp(1, keepdim=True)
    found = losses.sinkhorn(scores.float() * factor, 0.05, iterations)
    torch.testing.assert_close(found, log.softmax(1).detach().float(), atol=2e-3, rtol=1e-3)  # logarithms to 1e6


@pytest.mark.parametrize(("n", "k"), [(256, 2), (2, 64), (512, 50)])
def test_sinkhorn_of_many_iterations(n, k):
    """Also where clusters cannot get the same size: one sample fits one of them, and the others not at all."""
    (scores,) = embeddings(n, k, 1)
    lonely = torch.zeros(n, k, dtype=torch.float64)
    lonely[:-1, 1] = -0.2
    for given, epsilon in ((scores / scores.abs().max(), 0.05), (lonely, 1e-3)):
        for iterations in (4, 17, 100):
            found = losses.sinkhorn(given.float(), epsilon, iterations)
            torch.testing.assert_close(found.sum(1), torch.ones(n))
            if epsilon == 0.05:
                torch.testing.assert_close(
                    found, plain_sinkhorn(given, epsilon, iterations).float(), atol=1e-4, rtol=1e-3
                )


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


@pytest.mark.parametrize("small", [0, 3])
def test_multi_crop_is_the_mean_over_all_pairs_of_views(small):
    """Of two full-size views, or three, and small ones that only predict."""
    for full in (2, 3):
        views = embeddings(6, 4, full + small)
        codes = [code.detach().softmax(1) for code in embeddings(6, 4, full, seed=1)]
        pairs = [
            -(code * torch.log_softmax(view / 0.2, 1)).sum(1).mean()
            for i, view in enumerate(views)
            for j, code in enumerate(codes)
            if i != j
        ]
        assert_same(losses.multi_crop(views, codes, 0.2), sum(pairs) / len(pairs), views)


def test_multi_crop_is_swapped_prediction_and_dino_of_two_views():
    x, y = embeddings(6, 4, 2)
    codes = [losses.sinkhorn(s, 0.5) for s in (x, y)]
    assert_same(losses.multi_crop([x, y], codes), losses.swapped_prediction(x, y, 0.1, 0.5), [x, y])
    (center,) = (c.detach() for c in embeddings(1, 4, 1, seed=2))
    targets = [losses.centred_softmax(t, center) for t in (x, y)]
    both = (losses.dino(x, y, center) + losses.dino(y, x, center)) / 2
    assert_same(losses.multi_crop([x, y], targets), both, [x, y])
    assert not targets[0].requires_grad
