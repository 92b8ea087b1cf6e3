"""Recipes on the disk."""

import os
import tomllib
import typing
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import resolved
from twofold.errors import UsageError
from twofold.recipe import recipe, toml
from twofold.recipe.declared import methods, spec
from twofold.recipe.resolve import difference
from twofold.recipe.version import VERSION

RESOLVED = {method: resolved(method) for method in methods()}

values = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.- é", max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(values)
def test_values_are_written_as_toml_reads_them(value):
    assert tomllib.loads(f"value = {toml.value_text(value)}")["value"] == value


@given(st.binary(min_size=1).map(os.fsdecode))
def test_names_of_files_that_are_no_text_come_back(name):
    """In TOML, which is UTF-8, they are escaped."""
    values = {"data": name, "list": [name, "plain"], "arguments": {"path": name}}
    text = "".join(f"{key} = {toml.value_text(value)}\n" for key, value in values.items())
    assert toml._settings(tomllib.loads(text.encode().decode())) == values


NAMES = st.binary(max_size=12).filter(lambda name: b"\0" not in name).map(os.fsdecode)


TEXTS = NAMES.filter(lambda name: not any("\ud800" <= letter <= "\udfff" for letter in name))


@given(TEXTS)
def test_any_text_may_be_a_name_in_a_table(name):
    table = {name: 1, "another": 2}
    assert toml._settings(tomllib.loads(f"table = {toml.value_text(table)}")) == {"table": table}


def test_a_name_that_is_no_text_is_refused():
    with pytest.raises(UsageError, match=r"backbone_arguments has a name that is no text: 'a\\udc80'$"):
        recipe.wanted("simclr", backbone_arguments={"a\udc80": 1})
    for strange in ("\ud800", "a\udd00"):
        with pytest.raises(UsageError, match="backbone_arguments, k must be a text"):
            recipe.wanted("simclr", backbone_arguments={"k": strange})


def values_of(declared, kind):
    """Any value that a setting may have."""
    if typing.get_origin(kind) is Literal:
        return st.sampled_from(typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        inside = typing.get_args(kind)
        if Ellipsis in inside:
            return st.lists(values_of(declared, inside[0]), max_size=3).map(tuple)
        several = st.tuples(*(values_of(declared, each) for each in inside))
        return several.map(lambda pair: tuple(sorted(pair))) if declared.ordered else several
    if kind is float:
        low = declared.low if declared.above is None else declared.above
        high = declared.high if isinstance(declared.high, int | float) else 1e300
        return st.floats(low, high, exclude_min=declared.above is not None)
    if kind is int:
        return st.integers(declared.low, declared.high if isinstance(declared.high, int) else None)
    return {bool: st.booleans(), str: NAMES}.get(kind, st.dictionaries(TEXTS, values, max_size=3))


@given(st.data())
def test_a_recipe_comes_back_as_it_was(data):
    """Whatever its settings are: what is written of a run is what is read of it."""
    method = data.draw(st.sampled_from(list(methods())))
    known = recipe.known(spec(method))
    given = {}
    for name in data.draw(st.lists(st.sampled_from(sorted(known)), max_size=8, unique=True)):
        if name not in ("method", "distortions"):
            given[name] = data.draw(values_of(*known[name]))
    settings = recipe.replace(RESOLVED[method], **given)
    assert toml.recorded(tomllib.loads(toml.dumps(settings)), "here") == settings


def test_broken_files_are_said(tmp_path):
    (tmp_path / "r.toml").write_text("epochs = = 3")
    with pytest.raises(UsageError, match="not TOML"):
        toml.read(tmp_path / "r.toml")
    with pytest.raises(UsageError, match="no recipe"):
        toml.read(tmp_path / "none.toml")


def test_what_a_recipe_asks_for_comes_back_from_its_file(tmp_path):
    """Also what is None, for which TOML has no word: it is left out. The version that wrote it is no setting."""
    made = resolved("simclr", image_size=8, temperature=0.3, backbone_arguments={"act_layer": "silu", "layers": [1, 2]})
    text = toml.dumps(made)
    (tmp_path / "r.toml").write_text(text)
    assert text.startswith(f'twofold = "{VERSION}"\n')
    assert "\nworkers" not in text
    wanted = toml.load(tmp_path / "r.toml")
    assert wanted.method == "simclr"
    assert wanted.given["temperature"] == 0.3
    assert wanted.given["backbone_arguments"] == {"act_layer": "silu", "layers": [1, 2]}
    assert "workers" not in wanted.given
    assert difference(made, wanted) == []
    (tmp_path / "old.toml").write_text(text.split("\n", 1)[1])
    assert toml.recorded(toml.read(tmp_path / "old.toml"), "here") == made


def test_what_there_is_not_is_said_of_a_file_too(tmp_path):
    (tmp_path / "r.toml").write_text('method = "simclr"\ntemprature = 0.1\n')
    with pytest.raises(UsageError, match="did you mean temperature"):
        toml.load(tmp_path / "r.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        toml.read(tmp_path)


def test_a_setting_that_an_earlier_version_did_not_have_is_no_change():
    """It has its default, in whichever of the two it is missing; another value is a change."""
    settings = {"method": "simclr", "lr": 0.1}
    for kept, written, changed in (
        (settings, settings | {"turn": 0.0}, []),
        (settings | {"turn": 0.0}, settings, []),
        (settings, settings | {"turn": 0.75}, ["turn"]),
        (settings, settings | {"lr": 0.2}, ["lr"]),
    ):
        assert toml.agreed(kept, written)[1] == changed
