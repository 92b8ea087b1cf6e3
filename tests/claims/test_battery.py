"""One battery over every claim."""

import math
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest

from tests.claims import planting
from twofold.claims import experiments
from twofold.claims.base import all_claims
from twofold.claims.figure import draw
from twofold.claims.results import KINDS, STORED, stored
from twofold.claims.stage import Stage

CLAIMS = all_claims()
every_claim = pytest.mark.parametrize("number", CLAIMS)
ROOT = Path(__file__).parents[2]
FILES = sorted(Path(next(iter(experiments.__path__))).glob("c*.py"))


def test_every_file_is_a_claim_of_its_number():
    assert [int(path.name[1:3]) for path in FILES] == list(CLAIMS)


@every_claim
def test_it_says_what_it_claims_and_what_would_refute_it(number):
    claim = CLAIMS[number]
    assert claim.title
    assert list(claim.parts)[:3] == ["claim", "setup", "refuted"]
    assert set(claim.parts) <= {"claim", "setup", "refuted", "note"}
    assert all(text.endswith(".") for text in claim.parts.values())
    assert claim.parts["refuted"].startswith("if ")
    assert claim.expected


@every_claim
def test_planted_numbers_are_decided_rightly(number):
    claim = CLAIMS[number]
    assert claim.verdict(planting.holding(claim)) == "shown"
    assert claim.verdict(planting.noisy(claim)) == "not shown"
    for place in range(len(claim.expected)):
        assert claim.verdict(planting.opposite(claim, place)) == "contradicted"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Sixty random colour images of 24 pixels, and labels."""
    path = tmp_path_factory.mktemp("data") / "pictures.npz"
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (60, 24, 24, 3), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(60) % 3)
    return path


@every_claim
def test_a_few_steps_of_it_give_what_it_is_decided_by(number, pictures):
    claim = CLAIMS[number]
    found = claim.run(Stage(pictures if claim.photographs else "digits", seed=1, steps=2))
    assert found.keys() == claim.measures.keys()
    assert all(math.isfinite(value) for arms in found.values() for value in arms.values())
    numbers = {name: {arm: [value] for arm, value in arms.items()} for name, arms in found.items()}
    assert claim.verdict(numbers) in ("shown", "not shown", "contradicted")
    assert len(claim.reasons(numbers)) == len(claim.expected)
    assert all(
        escape(arm) in draw(claim, numbers) for name, arms in found.items() for arm in arms if name not in claim.x
    )


def test_what_comes_with_twofold_is_of_claims_as_they_are_now():
    """Its measures and the arms that decide are there, over three seeds at least."""
    assert {path.parent.name for path in STORED.glob("*/*.json")} == set(KINDS)
    assert not list(STORED.glob("*.json"))
    assert {int(path.stem) for path in STORED.glob("*/*.json")} <= set(CLAIMS)
    every = [(claim, result) for claim in CLAIMS.values() for result in stored(claim.number).values()]
    for claim, result in every:
        assert result["numbers"].keys() == claim.measures.keys()
        assert {len(values) for arms in result["numbers"].values() for values in arms.values()} == {result["seeds"]}
        assert result["seeds"] >= 3
        assert len(claim.reasons(result["numbers"])) == len(claim.expected)


def test_the_figures_of_the_documentation_are_of_these_results():
    for number, kind, result in ((n, kind, result) for n in CLAIMS for kind, result in stored(n).items()):
        drawn = (ROOT / "docs" / "claims" / f"{number:02}-{kind}.svg").read_text()
        arms = [arm for name, own in result["numbers"].items() if name not in CLAIMS[number].x for arm in own]
        assert all(escape(arm) in drawn for arm in arms)
