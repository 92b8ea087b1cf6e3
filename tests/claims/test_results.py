"""A claim carried out, and what is kept."""

import dataclasses

import pytest

from twofold.claims import results
from twofold.claims.base import Claim, Expected
from twofold.claims.results import carry_out, stored
from twofold.errors import UsageError

CARD = "A claim.\n\nclaim     It is.\nsetup     None.\nrefuted   if not."


def run(stage):
    stage.trained["a"] = {"method": "none", "steps": stage.override or 10 * stage.length}
    return {"m": {"a": float(stage.seed), "b": float(stage.images.sum() % 7)}}


CLAIM = Claim(77, CARD, run, {"m": "measure"}, [Expected("m", "a", "b")])


def test_numbers_of_all_seeds_are_kept_with_how_they_came_to_be(tmp_path):
    told = []
    result = carry_out(CLAIM, tmp_path, seeds=2, full=True, tell=lambda *words: told.append(words))
    assert result["numbers"]["m"]["a"] == [0.0, 1.0]
    assert (result["number"], result["seeds"], result["full"]) == (77, 2, True)
    assert result["recipe"] == {"a": {"method": "none", "steps": 40}}
    assert result["data"] == {"name": "digits", "training": 959, "held out": 479, "size": 8}
    assert set(result["versions"]) >= {"twofold", "torch"}
    assert told == [("claim 77, seeds", 0, 2), ("claim 77, seeds", 1, 2)]
    assert stored(77, tmp_path) == {"here": result}


def test_what_was_carried_out_here_stands_beside_what_comes_with_twofold(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "STORED", tmp_path / "stored")
    (tmp_path / "stored" / "photographs").mkdir(parents=True)
    assert stored(77, tmp_path) == {}
    (tmp_path / "stored" / "photographs" / "77.json").write_text('{"seeds": 3}')
    assert stored(77, tmp_path) == stored(77) == {"photographs": {"seeds": 3}}
    carry_out(CLAIM, tmp_path, seeds=1)
    found = stored(77, tmp_path)
    assert list(found) == ["here", "photographs"]
    assert found["here"]["seeds"] == 1


def test_wrong_wishes(tmp_path):
    with pytest.raises(UsageError, match="--data"):
        carry_out(dataclasses.replace(CLAIM, photographs=True), tmp_path)
    for wrong in (dict(seeds=0), dict(steps=0)):
        with pytest.raises(UsageError, match="at least 1"):
            carry_out(CLAIM, tmp_path, **wrong)
    assert not list(tmp_path.iterdir())
