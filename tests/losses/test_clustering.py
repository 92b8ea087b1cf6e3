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
