"""Modules that were given from Python, under names that a recipe can hold."""

import pytest
import torch
from torch import nn

from twofold.errors import UsageError
from twofold.nets import given


@pytest.fixture(autouse=True)
def none_given_before(monkeypatch):
    monkeypatch.setattr(given, "_modules", {})


def test_a_copy_comes_back_with_the_weights_of_that_moment():
    module = nn.Linear(3, 2)
    weight = module.weight.detach().clone()
    name = given.keep(module)
    assert name == "python:Linear"
    assert given.is_given(name)
    with torch.no_grad():
        module.weight.zero_()
    first, second = given.copy_of(name), given.copy_of(name)
    assert torch.equal(first.weight, weight)
    with torch.no_grad():
        first.weight.zero_()
    assert torch.equal(second.weight, weight)


def test_the_last_one_of_a_name_counts():
    given.keep(nn.Linear(3, 2))
    assert given.copy_of(given.keep(nn.Linear(5, 4))).in_features == 5


def test_what_was_not_given_here_is_asked_for():
    assert not given.is_given("resnet18")
    assert not given.is_given("package.module:function")
    with pytest.raises(UsageError, match="given as a Python object, a Linear: give it again") as said:
        given.copy_of("python:Linear")
    assert "\n" not in str(said.value)
