"""Recipes: what is given, and what is not."""

from twofold.recipe import recipe


def test_none_is_not_given():
    assert recipe.wanted("simclr", lr=None, image_size=None) == recipe.wanted("simclr")
    assert recipe.wanted("simclr", lr=0.1).but(lr=None) == recipe.wanted("simclr")
