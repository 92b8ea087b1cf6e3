"""How numbers decide a claim."""

import dataclasses

import pytest

from twofold.claims.base import Claim, Expected, all_claims, chosen
from twofold.errors import UsageError

CARD = """Water is wet.

claim     It is,
          in all places.
setup     A cup.
refuted   if it is dry.
"""


def made(*expected):
    return Claim(99, CARD, lambda stage: {}, {"m": "wetness: in drops"}, expected)


def test_a_card_is_read():
    claim = made()
    assert claim.title == "Water is wet"
    assert claim.parts == {"claim": "It is, in all places.", "setup": "A cup.", "refuted": "if it is dry."}


@pytest.mark.parametrize(
    ("more", "less", "margin", "word"),
    [
        ([3.0, 3.1, 2.9], [1.0, 1.0, 1.0], 1.0, "shown"),
        ([3.0, 3.1, 2.9], [1.0, 1.0, 1.0], 1.9, "not shown"),  # above it, but not by two deviations
        ([3.0, 9.0, 0.0], [1.0, 1.0, 1.0], 0.0, "not shown"),
        ([1.5, 1.6, 1.4], [1.0, 1.0, 1.0], 1.0, "not shown"),  # the right sign, too little
        ([0.0, 0.1, -0.1], [1.0, 1.0, 1.0], 0.5, "contradicted"),
        ([0.0, 0.1, -0.1], [1.0, 1.0, 1.0], -2.0, "shown"),  # lower, but by less than 2
        ([0.0, 0.1, -0.1], [1.0, 1.0, 1.0], -0.5, "contradicted"),
        ([1.0], [1.0], 0.0, "not shown"),
    ],
)
def test_a_difference_counts_from_two_deviations_on(more, less, margin, word):
    assert Expected("m", "a", "b", margin).decide({"m": {"a": more, "b": less}}) == word


def test_differences_are_taken_seed_by_seed():
    """What seeds have in common does not count as noise."""
    numbers = {"m": {"a": [11.0, 51.0, 91.0], "b": [10.0, 50.0, 90.0]}}
    assert Expected("m", "a", "b").decide(numbers) == "shown"


def test_a_number_may_stand_for_an_arm():
    numbers = {"m": {"a": [2.0, 2.1]}}
    assert Expected("m", "a", 1.0).decide(numbers) == "shown"
    assert Expected("m", 1.0, "a").decide(numbers) == "contradicted"


def test_all_must_hold_and_one_contradiction_is_enough():
    numbers = {"m": {"a": [3.0, 3.0], "b": [2.0, 2.0], "c": [0.0, 4.0]}}
    first, open_, wrong = Expected("m", "a", "b"), Expected("m", "c", "b"), Expected("m", "b", "a")
    assert made(first).verdict(numbers) == "shown"
    assert made(first, open_).verdict(numbers) == "not shown"
    assert made(first, open_, wrong).verdict(numbers) == "contradicted"


def test_a_reason_names_both_arms_and_the_numbers():
    (reason,) = made(Expected("m", "a", "b", 0.5)).reasons({"m": {"a": [3.0, 3.2], "b": [2.0, 2.0]}})
    assert reason == "wetness of a less that of b is +1.1 ± 0.14, expected above 0.5: shown"
    on_an_axis = dataclasses.replace(made(Expected("m", "0.1", 1.0)), x={"m": "temperature"})
    (reason,) = on_an_axis.reasons({"m": {"0.1": [3.0, 3.2]}})
    assert reason == "wetness at temperature 0.1 less 1 is +2.1 ± 0.14, expected above 0: shown"


def test_claims_are_chosen_by_number():
    every = all_claims()
    assert [claim.number for claim in chosen(["3", "01"])] == [3, 1]
    assert [claim.number for claim in chosen(["all"])] == list(every)
    assert not any(claim.photographs for claim in chosen(["all"], photographs=False))
    for word in ("99", "x", "-1"):
        with pytest.raises(UsageError, match=f"there is no claim {word}; there are 1, "):
            chosen([word])
