"""Recipes on the disk."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.errors import UsageError
from twofold.recipe import toml

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


def test_broken_files_are_said(tmp_path):
    (tmp_path / "r.toml").write_text("epochs = = 3")
    with pytest.raises(UsageError, match="not TOML"):
        toml.read(tmp_path / "r.toml")
    with pytest.raises(UsageError, match="no recipe"):
        toml.read(tmp_path / "none.toml")
