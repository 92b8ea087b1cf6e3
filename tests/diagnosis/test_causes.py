"""The doctor's table has a word for everything, and its advice can be followed."""

import re

from twofold.diagnosis.causes import CAUSES, explain
from twofold.methods import TABLE
from twofold.recipe.recipe import make, settings_of


def test_every_finding_has_a_cause_for_every_method():
    for name in {finding for row in CAUSES for finding in row.findings}:
        for method in TABLE:
            assert all(explain(name, make(method)))


def test_advice_names_settings_that_there_are():
    """Every --flag of every row is a setting of each method that the row is for."""
    every = {name: settings_of(make(name)) for name in TABLE}
    for row in CAUSES:
        for method in row.methods or (TABLE if len(row.findings) == 1 and row.when({}) else ()):
            if row.methods or row.findings[0] not in ("dead memory", "one cluster takes all"):
                for flag in re.findall(r"--([\w-]+)", row.advice):
                    assert flag.replace("-", "_") in every[method] or flag == "projector", (row, method)
