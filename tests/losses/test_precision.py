"""Losses are computed in float32 or better, from tensors of the shapes that they declare."""

import numpy as np
import pytest
import torch

from tests.losses.plain import embeddings
from twofold import losses
from twofold.errors import UsageError

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


STRANGE = {
    "a column": (losses.cosine, (16, 1), r"cosine: y has the shape \[16, 1\], not \[n, d\], where n is 16, d is 8"),
    "one row": (losses.vicreg, (1, 8), r"vicreg: y has the shape \[1, 8\]"),
    "fewer images": (losses.nt_xent, (12, 8), r"nt_xent: y has the shape \[12, 8\]"),
    "one vector": (losses.barlow_twins, (8,), r"barlow_twins: y has the shape \[8\]"),
    "any shape, but the same": (losses.squared, (16, 1), r"squared: y has the shape \[16, 1\], not \[\*shape\]"),
    "in a sequence": (lambda x, y: losses.multi_crop([x, x], (x, y)), (12, 8), r"codes has the shape \[12, 8\]"),
    "by name": (lambda x, y: losses.info_nce(x, x, negatives=y), (5, 7), r"negatives has the shape \[5, 7\], not"),
    "a temperature of one dimension": (
        lambda x, y: losses.nt_xent(x, x, y),
        (1,),
        r"temperature has the shape \[1\], not \[\]$",
    ),
    "three dimensions": (
        lambda x, y: losses.uniformity(y),
        (2, 8, 8),
        r"uniformity: x has the shape \[2, 8, 8\], not \[n, d\]$",
    ),
}


@pytest.mark.parametrize("case", STRANGE)
def test_other_shapes_are_refused_rather_than_broadcast(case):
    loss, shape, message = STRANGE[case]
    with pytest.raises(UsageError, match=message):
        loss(torch.randn(16, 8), torch.randn(shape))


def test_shapes_that_a_signature_allows_are_taken():
    """A centre with one dimension or two, any common shape, a temperature that is learned."""
    x, y = torch.randn(2, 6, 4)
    torch.testing.assert_close(losses.dino(x, y, torch.ones(4)), losses.dino(x, y, torch.ones(1, 4)))
    assert losses.squared(x[0], y[0]).shape == losses.smooth_l1(x[None], y[None]).shape == ()
    assert losses.nt_xent(x, y, torch.tensor(0.5)) == losses.nt_xent(x, y, 0.5)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (lambda x: losses.nt_xent(x, x, 0.0), "nt_xent: temperature must be above 0, not 0"),
        (lambda x: losses.nt_xent(x, x, np.float32(0)), "nt_xent: temperature must be above 0, not 0"),
        (lambda x: losses.info_nce(x, x, x, temperature=-1), "info_nce: temperature must be above 0, not -1"),
        (lambda x: losses.dino(x, x, x[0], teacher_temperature=0), "dino: teacher_temperature must be above 0"),
        (lambda x: losses.dino(x, x, x), r"center must be \[k\] or \[1, k\], not \[4, 8\]"),
        (lambda x: losses.sinkhorn(x, 0.0), "epsilon must be above 0, iterations at least 0, not 0 and 3"),
        (lambda x: losses.sinkhorn(x, 0.05, -1), "not 0.05 and -1"),
        (lambda x: losses.multi_crop([x], [x]), "1 codes of 1 views, of which two at least are full-size"),
        (lambda x: losses.multi_crop([x, x], [x, x, x]), "3 codes of 2 views"),
        (lambda x: losses.uniformity(x[:1]), "uniformity compares samples .* needs two at least, not 1"),
        (lambda x: losses.koleo(x[:1]), "koleo compares samples .*not 1"),
        (lambda x: losses.variance(x[:0]), "variance: x has no rows"),
        (lambda x: losses.sigreg(x[:0], x), "sigreg: x has no rows"),
        (lambda x: losses.nt_xent(x[:0], x[:0]), "nt_xent: x has no rows"),
        (lambda x: losses.squared(x[:0], x[:0]), "squared: x has no rows"),
        (lambda x: losses.sinkhorn(x[:0]), "sinkhorn: scores has no rows"),
        (lambda x: losses.sinkhorn(x.long()), "sinkhorn: scores must be of floats, not of int64"),
        (lambda x: losses.barlow_twins(x, x.long()), "barlow_twins: y must be of floats, not of int64"),
        (lambda x: losses.covariance(x[:1]), "covariance compares samples .*not 1"),
        (lambda x: losses.vicreg(x[:1], x[:1]), "variance compares samples .*not 1"),
        (lambda x: losses.barlow_twins(x[:1], x[:1]), "barlow_twins compares samples .*not 1"),
    ],
)
def test_numbers_that_make_no_sense_are_said(case, words):
    """Instead of a batch of one image, the last of an epoch, that makes all weights NaN."""
    with pytest.raises(UsageError, match=words):
        case(torch.eye(8)[:4])


def test_tensors_of_two_kinds_are_taken_as_the_finer_one():
    x = torch.eye(8)[:4]
    for loss in (losses.margin_hinge, losses.nt_xent, losses.barlow_twins, losses.vicreg):
        for pair in ((x, x.double()), (x.double(), x)):
            assert float(loss(*pair)) == pytest.approx(float(loss(x.double(), x.double())))


def test_what_is_no_tensor_is_said():
    with pytest.raises(UsageError, match="vicreg: x must be a torch tensor, not a NumPy array"):
        losses.vicreg(*np.zeros((2, 4, 8)))
    with pytest.raises(TypeError, match="missing"):
        losses.vicreg()
