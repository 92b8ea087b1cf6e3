"""What is said of a step in parts or in chunks."""

import pytest

from tests.conftest import resolved, tiny
from tests.training.making import pretrain
from twofold.errors import UsageError
from twofold.methods.building import backbone_spec, build_method
from twofold.training.portions import notes


def said(batch=64, **settings):
    wanted = resolved(**tiny("simclr", **settings))
    return notes(wanted, build_method(wanted, backbone_spec(wanted), 256), batch)


def test_what_is_not_asked_for_is_not_spoken_of():
    assert said() == []
    assert said(chunk=64) == []  # the whole batch is one chunk


def test_parts_change_what_a_loss_sees():
    (sentence,) = said(accumulate=4)
    assert "every loss sees 16 images at a time, not 64" in sentence


def test_chunks_change_batch_statistics_or_nothing():
    (sentence,) = said(chunk=16)
    assert "loss see 64" in sentence
    assert "batch norms of the backbone take mean and variance of 16 at most" in sentence
    (sentence,) = said(chunk=16, keep_statistics=True)
    assert "the gradient is that of passing all at once" in sentence
    (sentence,) = said(chunk=8, backbone="test_vit", backbone_arguments={}, image_size=16)
    assert "the gradient is that of passing all at once" in sentence
    both = said(chunk=8, accumulate=4)
    assert "every loss sees 16" in both[0]
    assert "loss see 16" in both[1]


def test_a_run_in_chunks_is_the_run_without_them(tmp_path):
    """Without batch statistics in the backbone, in float64, and it goes on only with the chunk that it began with."""
    plain = dict(keep_statistics=True, precision="fp64", limit=64, batch_size=32, epochs=2, knn_every=0)
    runs = [pretrain(tmp_path / str(chunk), "simclr", chunk=chunk, **plain) for chunk in (0, 10)]
    for one, other in zip(*(run.metrics for run in runs), strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-9)
        assert other["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=1e-7)
    assert "chunk 10: the backbone takes 10 images at a time" in (tmp_path / "10" / "log.txt").read_text()
    with pytest.raises(UsageError, match="chunk: 10 -> 16"):
        pretrain(tmp_path / "10", "simclr", chunk=16, **plain)
