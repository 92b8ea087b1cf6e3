"""Results as text for a terminal."""

import re

from tests.cli.running import twofold
from twofold.recipe.declared import methods, spec
from twofold.recipe.settings import declarations


def test_the_table_of_methods_and_their_cards(capsys):
    _, table, _ = twofold(capsys, "methods")
    for name in methods():
        assert re.search(rf"^ *{name} ", table, re.M)
        code, card, _ = twofold(capsys, "methods", name)
        assert code == 0
        assert card.startswith(spec(name).title)
        assert "\nloss " in card
        for option in declarations(spec(name).options):
            assert f"--{option.replace('_', '-')}" in card
