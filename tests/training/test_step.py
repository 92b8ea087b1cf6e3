"""One step of training."""

import pytest

from tests.training.making import pretrain


def test_accumulated_gradients_are_those_of_the_whole(tmp_path):
    """For a loss that is a mean over samples, without batch norm, parts add up to the whole batch."""
    plain = dict(backbone="test_vit", backbone_arguments={}, stem=None, projector_norm="layer", precision="fp64")
    runs = [
        pretrain(tmp_path / str(parts), "byol", accumulate=parts, epochs=1, image_size=16, knn_every=0, **plain)
        for parts in (1, 4)
    ]
    for one, other in zip(*(run.metrics for run in runs), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-9)
