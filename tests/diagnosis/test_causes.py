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


def test_what_joint_lacks():
    """A functional of either view, on any side, keeps images apart; one with the weight 0 does not."""
    for parts, apart in (
        (dict(functionals=""), False),
        (dict(functionals="variance:0,norm:1"), False),
        (dict(functionals="", functionals_y="koleo:0.1"), True),
        (dict(functionals="contrast@target"), True),
        (dict(functionals="", energy="cross_entropy", codes="sinkhorn"), True),
        (dict(functionals="", predictor=(2048,)), True),
    ):
        cause, _ = explain("complete collapse", resolved("joint", **parts))
        assert ("no functional keeps images apart" in cause) == (not apart), parts
    cause, _ = explain("dimensional collapse", resolved("joint", functionals="variance"))
    assert cause == "no functional keeps dimensions from repeating each other"
    assert explain("dimensional collapse", resolved("joint", functionals="variance,sigreg"))[0] != cause


def test_advice_names_settings_that_there_are():
    """Every --flag of every row is a setting of each method that the row is for."""
    every = {name: settings_of(resolved(name)) for name in methods()}
    for row in CAUSES:
        for method in row.methods or methods():
            if row.methods or row.findings[0] not in ("dead memory", "one cluster takes all"):
                for flag in re.findall(r"--([\w-]+)", row.advice):
                    assert flag.replace("-", "_") in every[method] or flag == "projector", (row, method)
