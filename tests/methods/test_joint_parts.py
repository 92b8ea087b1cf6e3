"""The parts of `joint` by their names."""

import pytest

from tests.methods.test_joint import step
from twofold.errors import UsageError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("variance:25,covarience:1", "did you mean covariance"),
        ("variance:much", "weight of variance must be a number"),
        ("variance:nan", "weight of variance must be a number"),
    ],
)
def test_functionals_that_do_not_exist_are_said(text, words):
    with pytest.raises(UsageError, match=words):
        step("joint", functionals=text)
