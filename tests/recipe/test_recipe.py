"""Recipes: values that fit, texts on disk, differences."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import resolved
from twofold.errors import UsageError
from twofold.recipe import recipe, toml

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


def test_numbers_and_lists_are_taken_as_meant():
    made = resolved("byol", lr=1, blur=[1, 0.1], projector=[64, 32], predictor=(64, 32), backbone_arguments={"a": 1})
    assert (made.lr, made.augment.blur, made.options.projector) == (1.0, (1.0, 0.1), (64, 32))
    assert isinstance(made.lr, float)


def test_none_is_not_given():
    assert recipe.wanted("simclr", lr=None, image_size=None) == recipe.wanted("simclr")
    assert recipe.wanted("simclr", lr=0.1).but(lr=None) == recipe.wanted("simclr")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(epochs="ten"), "epochs must be a whole number"),
        (dict(epochs=2.5), "epochs must be a whole number"),
        (dict(epochs=0), "epochs must be at least 1"),
        (dict(lr=-1.0), "lr must be above 0"),
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


def test_difference_ignores_how_a_run_is_carried_out_and_what_is_automatic():
    old = resolved("vicreg", image_size=64, precision="bf16", epochs=5)
    assert recipe.difference(old, recipe.wanted("vicreg", epochs=5, workers=3, out="x", device="cpu")) == []
    other = recipe.wanted("vicreg", epochs=6, image_size=32)
    assert recipe.difference(old, other) == ["image_size: 64 -> 32", "epochs: 5 -> 6"]
    assert recipe.difference(old, recipe.wanted("vicreg", epochs=5, variance=1)) == ["variance: 25.0 -> 1.0"]
    assert recipe.difference(old, recipe.wanted("vicreg")) == ["epochs: 5 -> 100"]
    assert "method: vicreg -> simclr" in recipe.difference(old, recipe.wanted("simclr", epochs=5))


def test_a_memory_as_long_as_the_data_is_what_a_longer_one_comes_to():
    old = resolved("moco", images=300, queue=999)
    assert old.options.queue == 300
    assert recipe.difference(old, recipe.wanted("moco", queue=999), 300) == []
    assert recipe.difference(old, recipe.wanted("moco", queue=200), 300) == ["queue: 300 -> 200"]


def test_broken_files_are_said(tmp_path):
    (tmp_path / "r.toml").write_text("epochs = = 3")
    with pytest.raises(UsageError, match="not TOML"):
        toml.read(tmp_path / "r.toml")
    with pytest.raises(UsageError, match="no recipe"):
        toml.read(tmp_path / "none.toml")
