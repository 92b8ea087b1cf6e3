"""Losses are computed in float32 or better."""

import pytest
import torch

from tests.losses.plain import embeddings
from twofold import losses

OF_PAIRS = [losses.nt_xent, losses.vicreg, losses.barlow_twins, losses.negative_cosine, losses.margin_hinge]
OF_PAIRS += [losses.sigreg, lambda x, y: losses.multi_crop([x, y], (y, x))]
OF_ONE = [losses.uniformity, losses.koleo, losses.coding_rate, losses.norm_hinge, losses.variance, losses.covariance]


@pytest.mark.parametrize("loss", [*OF_PAIRS, *(lambda x, _, loss=loss: loss(x) for loss in OF_ONE)])
def test_half_precision_is_raised(loss):
    """In bf16 and under autocast a loss is what float32 makes of the same numbers."""
    x, y = (e.detach().bfloat16() for e in embeddings(16, 8, 2))
    expected = loss(x.float(), y.float())
    assert expected.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(loss(x, y), expected, rtol=0, atol=0)


SECOND = {
    "nt_xent": lambda x, y: losses.nt_xent(x, y),
    "info_nce": lambda x, y: losses.info_nce(x, y, torch.ones(3, 8).double()),
    "covariance": lambda x, _: losses.covariance(x),
    "covariance of few": lambda x, _: losses.covariance(x[:4]),
    "vicreg": losses.vicreg,
    "barlow_twins of few": lambda x, y: losses.barlow_twins(x[:4], y[:4]),
    "uniformity": lambda x, _: losses.uniformity(x),
    "margin_hinge": losses.margin_hinge,
    "sigreg": losses.sigreg,
}


@pytest.mark.parametrize("name", SECOND)
def test_a_second_derivative_is_refused_and_never_wrong(name):
    """Also where the loss is the last thing computed, or one of several that are summed."""
    x, y = embeddings(16, 8, 2)
    loss = SECOND[name]
    (first,) = torch.autograd.grad(loss(x, y), x)
    assert first.isfinite().all()
    assert not first.requires_grad
    for whole in (loss(x, y), loss(x, y) + x.square().sum()):
        with pytest.raises(RuntimeError, match="a second derivative is asked for"):
            torch.autograd.grad(whole, x, create_graph=True)


def test_where_a_second_derivative_is_given_it_is_right():
    """Barlow Twins of more images than dimensions is torch's own operations."""
    x, y = embeddings(6, 3, 2)
    assert torch.autograd.gradgradcheck(losses.barlow_twins, (x[:5], y[:5]), atol=1e-4)
