"""What all methods are made of: pairs of views, networks that views go through together, the sum of the terms."""

import pytest
import torch
from torch import nn

from twofold.batch import View
from twofold.errors import UsageError
from twofold.methods.base import Method, Output, Setup, directions, mean, pairs, together, unit


def test_energies_compare_pairs_with_a_full_size_view():
    assert pairs("xy") == [("x", "y")]
    assert pairs("xyab") == [("x", "y"), ("x", "a"), ("x", "b"), ("y", "a"), ("y", "b")]  # never a with b


def test_every_view_predicts_the_others_targets():
    assert directions(["px", "py", "pa"], ["tx", "ty"]) == [
        ("px", "ty"),
        ("py", "tx"),
        ("pa", "tx"),
        ("pa", "ty"),
    ]


def test_views_of_one_kind_go_through_at_once_and_come_back_in_order():
    views = [View(torch.randn(4, 3, side, side)) for side in (8, 4, 8, 4, 4)]
    seen = []

    def network(view):
        seen.append(len(view.images))
        return view.images.mean((1, 2, 3))[:, None]

    rows = together(network, views)
    assert seen == [8, 12]
    for row, view in zip(rows, views, strict=True):
        torch.testing.assert_close(row, view.images.mean((1, 2, 3))[:, None])


def test_the_loss_is_the_sum_of_the_terms_and_reaches_each():
    terms = {name: torch.tensor(value, requires_grad=True) for name, value in (("a", 1.5), ("b", -4.0))}
    output = Output(terms, ())
    assert output.loss.item() == -2.5
    output.loss.backward()
    assert [term.grad.item() for term in terms.values()] == [1.0, 1.0]


def test_small_helpers():
    assert mean([torch.tensor(1.0), torch.tensor(4.0)]) == 2.5
    torch.testing.assert_close(unit(torch.tensor([[3.0, 4.0]])), torch.tensor([[0.6, 0.8]]))
    known, unknown = (Setup(features=16, images=images, size=8) for images in (100, None))
    assert (known.at_most_images(300), known.at_most_images(30), unknown.at_most_images(300)) == (100, 30, 300)
    assert (known.width((64, 32)), known.width(())) == (32, 16)


@pytest.mark.parametrize("layers", [[], [nn.Linear(4, 2)]])
def test_features_are_projected_where_there_is_a_projector(layers):
    class Plain(Method):
        def forward(self, batch, progress):
            raise AssertionError("it is built here, not called")

        def collapsed_loss(self, batch_size):
            return 0.0

    method, features = Plain(nn.Identity()), torch.randn(3, 4)
    method.projector = nn.Sequential(*layers)
    if layers:
        assert torch.equal(method.project(features), layers[0](features))
    else:
        assert method.project(features) is None


@pytest.mark.parametrize("terms", [{}, {"energy": torch.ones(4)}, {"energy": 1.0}])
def test_terms_that_are_no_scalars_are_said(terms):
    """A tensor of several numbers would be summed, and the loss would grow with the batch."""

    class Mine(Method):
        VIEWS = 1

        def forward(self, batch, progress):
            return Output(terms, (batch.views[0].images.flatten(1),))

        def collapsed_loss(self, batch_size):
            return 0.0

    with pytest.raises(UsageError, match="the terms of Mine's loss must be scalar tensors"):
        Mine(nn.Identity())([torch.zeros(4, 3, 8, 8)], 0.0)
