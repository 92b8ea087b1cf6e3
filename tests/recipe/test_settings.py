"""Settings that declare themselves, and values that fit them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
import torch

from tests.conftest import resolved
from twofold.errors import UsageError
from twofold.recipe import recipe
from twofold.recipe.settings import convert, declarations, defaults_of, setting, show, types_of


def test_numbers_and_lists_are_taken_as_meant():
    made = resolved("byol", lr=1, blur=[1, 0.1], projector=[64, 32], predictor=(64, 32), backbone_arguments={"a": 1})
    assert (made.lr, made.augment.blur, made.options.projector) == (1.0, (1.0, 0.1), (64, 32))
    assert isinstance(made.lr, float)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(epochs="ten"), "epochs must be a whole number"),
        (dict(epochs=2.5), "epochs must be a whole number"),
        (dict(epochs=0), "epochs must be at least 1"),
        (dict(lr=-1.0), "lr must be above 0"),
        (dict(layer_decay=2.0), "layer_decay must be at most 1, not 2"),
        (dict(lr=True), "lr must be a number"),
        (dict(crop_scale=(0.5,)), "crop_scale must be 2 float values"),
        (dict(crop_scale=(0.9, 0.1)), "lowest first"),
        (dict(flip=1.5), "flip must be from 0 to 1"),
        (dict(hue=0.7), "hue must be from 0 to 0.5"),
        (dict(optimizer="adam"), "optimizer must be lars or sgd or adamw"),
        (dict(temperature=0.0), "temperature must be at least 0.0001"),
        (dict(projector=(0,)), "projector must be at least 1"),
        (dict(std=(0.0, 1.0, 1.0)), "std must be above 0"),
        (dict(momentum=0.9), "did you mean optimizer_momentum"),
        (dict(backbone_arguments=3), "must be a table"),
    ],
)
def test_what_does_not_fit_is_said(settings, words):
    with pytest.raises(UsageError, match=words):
        recipe.wanted("simclr", **settings)


def steps_of(facts):
    """a rule in words"""
    return facts.steps


@dataclass(frozen=True, kw_only=True)
class Own:
    lr: float = setting(0.1, "rate", above=0)
    span: tuple[float, float] = setting((0.0, 1.0), "lowest and highest", low=0, high=1, ordered=True)
    table: dict = setting({"a": 1}, "a table")  # noqa: RUF009
    memory: int = setting(None, "length", low=0, high="images", auto=steps_of, operational=True)
    internal: int = 3


def test_a_setting_declares_itself_where_it_stands():
    declared = declarations(Own)
    assert list(declared) == ["lr", "span", "table", "memory"]  # what is not declared is no setting
    assert (declared["lr"].help, declared["lr"].above, declared["lr"].operational) == ("rate", 0, False)
    memory = declared["memory"]
    assert (memory.low, memory.high, memory.auto, memory.operational) == (0, "images", steps_of, True)
    assert types_of(Own)["span"] == tuple[float, float]
    assert defaults_of(Own) == {"lr": 0.1, "span": (0.0, 1.0), "table": {"a": 1}, "memory": None}
    Own().table["a"] = 2
    assert Own().table == defaults_of(Own)["table"] == {"a": 1}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("lr", 0.0, "x must be above 0, not 0"),
        ("span", (0.5, 1.5), "x must be from 0 to 1, not 1.5"),
        ("span", (0.5, 0.25), "x needs two numbers, lowest first, not 0.5 0.25"),
        ("memory", -1, "x must be at least 0, not -1"),
    ],
)
def test_bounds_hold_for_every_number(name, value, words):
    with pytest.raises(UsageError, match=words):
        declarations(Own)[name].check("x", value)


@pytest.mark.parametrize(
    ("value", "kind", "meant"),
    [
        (3, float, 3.0),
        ([1, 2.5], tuple[float, float], (1.0, 2.5)),
        ([], tuple[int, ...], ()),
        ("sgd", Literal["lars", "sgd"], "sgd"),
        ({"a": (1, (2, 3)), 5: "b"}, dict, {"a": [1, [2, 3]], "5": "b"}),
        (True, bool, True),
        (np.float32(0.5), float, 0.5),
        (np.int64(3), int, 3),
        ({"a": np.float64(0.0), "b": {"c": (np.int32(1), True)}}, dict, {"a": 0.0, "b": {"c": [1, True]}}),
    ],
)
def test_values_become_what_their_type_says(value, kind, meant):
    found = convert(value, kind, "x")
    assert (found, type(found)) == (meant, type(meant))


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (True, int, "a whole number, not 'True'"),
        (float("inf"), float, "a finite number, not 'inf'"),
        (1, bool, "true or false"),
        (1, str, "a text"),
        ("1", tuple[int, ...], "a list of int values"),
        ((1, 2, 3), tuple[int, int], "2 int values, not '1 2 3'"),
        ((1, 2.5), tuple[int, ...], "a whole number, not '2.5'"),
    ],
)
def test_what_is_no_value_of_its_type_is_said(value, kind, words):
    with pytest.raises(UsageError, match=f"x must be {words}"):
        convert(value, kind, "x")


@pytest.mark.parametrize("value", [None, [1, None], float("nan"), torch.nn.ReLU, {"bytes": "x"}])
def test_what_no_recipe_file_can_hold_is_refused(value):
    """A run's recipe.toml must give back what was asked for."""
    with pytest.raises(UsageError, match="arguments, drop must be a text, a finite number"):
        convert({"drop": value}, dict, "arguments")


def test_values_are_shown_as_a_person_writes_them():
    values = (None, (0.5, 1.0), "a b", 3, 0.4 * 0.1, 2.0)
    assert [show(value) for value in values] == ["nothing", "0.5 1.0", "a b", "3", "0.04", "2.0"]
