"""Projectors and prototypes."""

import pytest
import torch
from torch import nn

from twofold.errors import UsageError
from twofold.nets.heads import Prototypes, mlp, predictor


def test_mlp():
    head = mlp(8, (16, 16, 4), "batch")
    kinds = [type(layer).__name__ for layer in head]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert [layer.bias is None for layer in head if isinstance(layer, nn.Linear)] == [True, True, False]
    last = mlp(8, (16, 4), "layer", last_norm=True)[-1]
    assert isinstance(last, nn.LayerNorm)
    assert last.weight is None
    assert isinstance(mlp(8, ()), nn.Identity)
    assert [type(layer).__name__ for layer in mlp(8, (16, 4), "none")] == ["Linear", "ReLU", "Linear"]


def test_prototypes_are_used_at_length_one():
    prototypes = Prototypes(4, 3)
    embeddings = torch.randn(5, 4)
    before = prototypes(embeddings)
    with torch.no_grad():
        prototypes.weight.mul_(7)
    torch.testing.assert_close(prototypes(3 * embeddings), before)
    assert before.abs().max() <= 1
    prototypes(embeddings, frozen=False).sum().backward()
    assert prototypes.weight.grad is not None
    with torch.autocast("cpu", torch.bfloat16):
        assert prototypes(embeddings.bfloat16()).dtype == torch.float32


def test_prototypes_may_learn_their_lengths():
    """Each cosine times the prototype's own length, which is 1 at first; frozen, neither part gets a gradient."""
    prototypes, embeddings = Prototypes(4, 3, gain=True), torch.randn(5, 4)
    cosines = torch.nn.functional.cosine_similarity(embeddings[:, None], prototypes.weight[None], dim=2)
    torch.testing.assert_close(prototypes(embeddings), cosines)
    with torch.no_grad():
        prototypes.gain.copy_(torch.tensor([[2.0], [0.5], [3.0]]))
    torch.testing.assert_close(prototypes(embeddings), cosines * torch.tensor([2.0, 0.5, 3.0]))
    assert not prototypes(embeddings, frozen=True).requires_grad
    prototypes(embeddings).sum().backward()
    assert prototypes.gain.grad.abs().min() > 0


def test_a_predictor_ends_as_it_begins():
    assert predictor(8, (16, 8))(torch.randn(4, 8)).shape == (4, 8)
    assert isinstance(predictor(8, ()), nn.Identity)
    with pytest.raises(UsageError, match="the predictor must end as the projector does, in 8, not 4"):
        predictor(8, (16, 4))
