"""LeJEPA's loss is its authors', view by view."""

import math

import pytest
import torch

from tests.methods.making import made
from twofold.batch import Batch, View


def embedded(method, views):
    """Of each view, as the method has them: all in one batch."""
    rows = method.projector(torch.cat([method.encode(view) for view in views]))
    return rows.split([len(view.images) for view in views])


def statistic(z, lines):
    """The authors' of one view's embeddings, times the number of samples, on lines as rows."""
    total = 0.0
    for line in torch.nn.functional.normalize(lines.to(z)):
        shadow = z @ line
        for k in range(-16, 17):
            t, weight = 3 * k / 16, 3 / 16 / (2 if abs(k) == 16 else 1)
            real, imaginary = (t * shadow).cos().mean() - math.exp(-(t**2) / 2), (t * shadow).sin().mean()
            total = total + weight * math.exp(-(t**2) / 2) * (real**2 + imaginary**2)
    return len(z) * total / len(lines)


def test_it_is_the_authors_loss():
    """Energy to the mean of the full-size views alone; SIGReg of every view, the mean of them."""
    method, batch = made("lejepa", sigreg=0.3, slices=3)
    method, views = method.double(), [View(view.images.double()) for view in batch.views]
    views += [View(0.5 * views[0].images), View(views[1].images[..., :6, :6])]  # one more of full size, a small one
    method.encode(views[0])  # batch norms have seen something
    method.eval()
    terms = method(Batch(tuple(views), batch.index, batch.chance), 0.0).terms
    z, lines = embedded(method, views), batch.chance.shared_normal("lines", 3, 16)
    middle = (z[0] + z[1] + z[2]) / 3
    energy = sum(((rows - middle) ** 2).mean() for rows in z) / 4
    gaussian = sum(statistic(rows, lines) for rows in z) / 4
    torch.testing.assert_close(terms["energy"], 0.7 * energy)
    torch.testing.assert_close(terms["sigreg"], 0.3 * gaussian * 256 / 32)  # theirs with a batch of 256


def test_lambda_means_the_same_with_any_batch():
    method, batch = made("lejepa")
    method.eval()
    once = method(batch, 0.0).terms
    doubled = tuple(View(view.images.repeat(2, 1, 1, 1)) for view in batch.views)
    twice = method(Batch(doubled, None, batch.chance), 0.0).terms
    for name, term in once.items():
        torch.testing.assert_close(twice[name], term)


def test_lines_are_a_function_of_the_step():
    method, batch = made("lejepa", slices=4)
    method.eval()
    first, again = (method(batch, 0.0).terms["sigreg"].item() for _ in "ab")
    assert first == again
    assert method(batch._replace(chance=batch.chance._replace(step=1)), 0.0).terms["sigreg"].item() != first


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_either_term_may_be_off(weight):
    method, batch = made("lejepa", sigreg=weight)
    terms = method(batch, 0.0).terms
    assert (terms["energy"].item() == 0) == (weight == 1)
    assert (terms["sigreg"].item() == 0) == (weight == 0)
