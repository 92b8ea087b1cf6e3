"""The doctor's table has a word for everything, and its advice can be followed."""

import re

from tests.conftest import resolved
from twofold.diagnosis.causes import CAUSES, explain
from twofold.recipe.declared import methods
from twofold.recipe.recipe import settings_of


def test_every_finding_has_a_cause_for_every_method():
    for name in {finding for row in CAUSES for finding in row.findings}:
        for method in methods():
            assert all(explain(name, resolved(method)))


def test_advice_names_settings_that_there_are():
    """Every --flag of every row is a setting of each method that the row is for."""
    every = {name: settings_of(resolved(name)) for name in methods()}
    for row in CAUSES:
        for method in row.methods or methods():
            if row.methods or row.findings[0] not in ("dead memory", "one cluster takes all"):
                for flag in re.findall(r"--([\w-]+)", row.advice):
                    assert flag.replace("-", "_") in every[method] or flag == "projector", (row, method)
