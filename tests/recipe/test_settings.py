"""Settings that declare themselves, and values that fit them."""

import pytest

from tests.conftest import resolved
from twofold.errors import UsageError
from twofold.recipe import recipe


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
