"""One step of training."""

import pytest
import torch
from torch import nn

from tests.training.making import pretrain
from twofold.batch import Batch
from twofold.methods.base import Method, Output
from twofold.training.step import learn


def test_accumulated_gradients_are_those_of_the_whole(tmp_path):
    """For a loss that is a mean over samples, without batch norm, parts add up to the whole batch."""
    plain = dict(backbone="test_vit", backbone_arguments={}, stem=None, projector_norm="layer", precision="fp64")
    runs = [
        pretrain(
            tmp_path / str(parts),
            "byol",
            accumulate=parts,
            limit=64,
            batch_size=32,
            epochs=1,
            image_size=16,
            knn_every=0,
            **plain,
        )
        for parts in (1, 4)
    ]
    for one, other in zip(*(run.metrics for run in runs), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-9)


class Plain(Method):
    """Its loss is w * x, of the one number that a batch holds."""

    VIEWS = 1

    def __init__(self):
        super().__init__(nn.Identity())
        self.w = nn.Parameter(torch.tensor([2.0, 0.0]))

    def forward(self, batch, progress):
        x = batch.views[0].images.flatten()
        return Output({"a": self.w[0] * x[0], "b": 4 * self.w[1] * progress}, ())

    def collapsed_loss(self, batch_size):
        return 0.0


@pytest.mark.parametrize(("clip", "left"), [(0.0, (3.0, 4.0)), (2.5, (1.5, 2.0)), (10.0, (3.0, 4.0))])
def test_terms_and_gradients_are_means_over_the_parts_and_the_norm_is_of_before_clipping(clip, left):
    method = Plain()
    optimizer = torch.optim.SGD(method.parameters(), 1.0)
    parts = iter([torch.full((1, 1, 1, 1), value) for value in (1.0, 5.0, 99.0)])
    learned = learn(
        method, optimizer, parts, Batch.of, accumulate=2, grad_clip=clip, precision="fp32", progress=1.0
    )  # fmt: skip
    assert learned.terms == {"a": 6.0, "b": 0.0}
    assert learned.loss == 6.0
    assert learned.gradient_norm == pytest.approx(5.0)
    torch.testing.assert_close(method.w.grad, torch.tensor(left), rtol=1e-5, atol=0)
    assert next(parts).item() == 99.0  # no more than asked for were taken
    assert method.w.tolist() == [2.0, 0.0]


class Two(Plain):
    """Its loss is three times one parameter and half of another."""

    def __init__(self):
        super().__init__()
        self.v = nn.Parameter(torch.tensor([0.0]))

    def forward(self, batch, progress):
        return Output({"a": 3 * self.w[0] + 0.5 * self.v[0]}, ())


def test_each_parameter_may_be_clipped_by_itself():
    """Gradients of length 3 and 0.5: the first is cut to 1, the second stays; together they would be cut alike."""
    method = Two()
    parts = iter([torch.ones(1, 1, 1, 1)])
    options = dict(accumulate=1, grad_clip=1.0, clip_each=True, precision="fp32", progress=0.0)
    learned = learn(method, torch.optim.SGD(method.parameters(), 1.0), parts, Batch.of, **options)
    torch.testing.assert_close(method.w.grad, torch.tensor([1.0, 0.0]), rtol=1e-5, atol=0)
    assert method.v.grad.item() == 0.5
    assert learned.gradient_norm == pytest.approx(9.25**0.5)
