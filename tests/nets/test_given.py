"""Modules that were given from Python, under names that a recipe can hold."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from twofold.errors import UsageError
from twofold.nets import given


@pytest.fixture(autouse=True)
def none_given_before(monkeypatch):
    for name, empty in (("_modules", {}), ("_latest", {}), ("_own", given._Own())):
        monkeypatch.setattr(given, name, empty)


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


def test_the_last_one_of_a_name_counts_unless_a_structure_is_asked_for(caplog):
    """Modules of one class need not have the same parts, nor the same number of weights."""
    nets = [nn.Sequential(nn.Linear(3, 2), kind()) for kind in (nn.ReLU, nn.Tanh)]
    structures = []
    for net in nets:
        name = given.keep(net)
        structures.append(given.structure(name))
    assert isinstance(given.copy_of(name)[1], nn.Tanh)
    assert [type(given.copy_of(name, structure)[1]) for structure in structures] == [nn.ReLU, nn.Tanh]
    other = given.copy_of(name, given.structure_of(nn.Sequential(nn.Linear(3, 2))))
    assert isinstance(other[1], nn.Tanh)
    assert "the Sequential that was given describes itself otherwise than the run's" in caplog.text


def test_a_thread_gets_the_one_that_it_gave():
    nets = [nn.Linear(3, 2) for _ in range(2)]
    both = threading.Barrier(2)

    def give(net):
        name = given.keep(net)
        both.wait()
        return given.copy_of(name).weight

    with ThreadPoolExecutor(2) as pool:
        for net, weight in zip(nets, pool.map(give, nets), strict=True):
            assert torch.equal(net.weight, weight)
    assert given.copy_of("python:Linear").in_features == 3  # of another thread, where this one gave none


def test_places_in_memory_are_no_structure():
    class Own(nn.Module):
        def extra_repr(self):
            return f"<function relu at 0x{id(self):x}>"

    nets = Own(), Own()
    assert repr(nets[0]) != repr(nets[1])
    assert given.structure_of(nets[0]) == given.structure_of(nets[1])


def test_what_was_not_given_here_is_asked_for():
    assert not given.is_given("resnet18")
    assert not given.is_given("package.module:function")
    with pytest.raises(UsageError, match="given as a Python object, a Linear: give it again") as said:
        given.copy_of("python:Linear")
    assert "\n" not in str(said.value)
