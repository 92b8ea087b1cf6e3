"""`twofold evaluate`: the table as a whole; nothing is chosen by the test labels; other backbones beside."""

import json

import numpy as np
import pytest

import twofold
from twofold.cli import tables
from twofold.data.opening import Data, open_data
from twofold.data.sources import Array
from twofold.encoding import cache
from twofold.errors import UsageError
from twofold.evaluation import evaluate as evaluation
from twofold.evaluation import finetune, mlp
from twofold.evaluation.evaluate import labelled_splits
from twofold.evaluation.protocols import PROTOCOLS

EVERY = tuple(PROTOCOLS)


@pytest.fixture
def quick(monkeypatch):
    """Heads and fine-tuning for a few steps only."""
    monkeypatch.setattr(mlp, "STEPS", 20)
    monkeypatch.setattr(mlp, "EPOCHS", 1)
    for name, value in {"RATES": (4e-4, 1e-3), "EPOCHS": 1, "STEPS": 2, "SEEDS": 2}.items():
        monkeypatch.setattr(finetune, name, value)


def test_a_run_is_measured_beside_its_yardsticks(finished, quick, monkeypatch):
    told = []
    result = twofold.evaluate(finished, protocols=EVERY, tell=lambda *words: told.append(words))
    assert json.loads((finished.path / "evaluation.json").read_text()) == result
    every = ["raw pixels", "untrained", "pretrained", "projector"]
    assert result["representations"] == every
    few = ["1 a class", "2 a class", "5 a class", "10 a class", "10 % of labels", "all labels"]
    found = [f"10 clusters, {n} label{'s' * (n > 1)} each" for n in (1, 2, 5, 10)]
    ranked = ["retrieval, mAP", *(f"retrieval, recall at {k}" for k in (1, 5, 10))]
    assert list(result["scores"]) == [
        "knn", "linear", "mlp", "finetune", *few, "10 clusters, NMI", "10 clusters, ARI", *found, *ranked,
    ]  # fmt: skip
    for row, scores in result["scores"].items():
        assert list(scores) == (["untrained", "pretrained"] if row == "finetune" else every)
        for score in scores.values():
            assert 0 < score["value"] <= 1
            assert score["spread"] > 0
            assert score["over"]
            named = row.rpartition(", ")[2].replace("mAP", "mean average precision")
            assert score["metric"] == ("accuracy" if row in [*result["scores"]][:10] + found else named)
    labels = {row: scores["pretrained"].get("labels") for row, scores in result["scores"].items()}
    assert labels["linear"] == labels["finetune"] == labels["all labels"] == 256
    assert [labels[row] for row in few] == [10, 20, 50, 100, 26, 256]
    assert [labels[row] for row in found] == [10, 20, 50, 100]
    assert labels["retrieval, mAP"] is None
    assert result["notes"] == ["1 % of 256 labels are 3, less than one for each of 10 classes: no such row"]
    assert result["recipe"]["method"] == "simclr"
    assert result["data"]["test"] == 359
    assert set(result["versions"]) >= {"twofold", "torch", "timm"}
    assert set(result["seconds"]) == set(EVERY)
    assert any(what.startswith("finetune, pretrained: run 2 of 2") for what, _, _ in told)

    text = tables.evaluation(result)
    assert max(map(len, text.split("digits:")[0].splitlines())) <= 100
    assert "± b: over 3 seeds of the head\n" in text
    assert text.count(" a\n") >= 6  # what a spread is over stands in the row, as a letter
    # The features are kept: a second time nothing goes through a network.
    monkeypatch.setattr(cache, "extract", None)
    again = twofold.evaluate(finished, protocols=("knn", "fewshot", "mlp"))
    for row in again["scores"]:
        assert again["scores"][row] == result["scores"][row]
    other = twofold.evaluate(finished, protocols="fewshot", seed=1)
    assert other["seed"] == 1
    assert other["scores"]["1 a class"] != result["scores"]["1 a class"]


def test_nothing_is_chosen_by_the_test_labels(finished, quick, monkeypatch):
    """With other test labels every figure may change, no choice does."""
    chosen = []
    for shift in (0, 1):
        data = open_data("digits")
        other = Array(data.test.images, [(label + shift) % 10 for label in data.test.labels], data.test.classes)
        changed = type(data)(data.train, other)
        monkeypatch.setattr(evaluation, "open_data", lambda name, changed=changed: changed)
        scores = twofold.evaluate(finished, protocols=("knn", "linear", "mlp", "finetune"))["scores"]
        chosen.append(
            [(row, who, s.get("C"), s.get("rate"), s.get("k")) for row, it in scores.items() for who, s in it.items()]
        )
        chosen[-1].append(scores["linear"]["pretrained"]["value"] > 0.3)
    assert chosen[0][:-1] == chosen[1][:-1]
    assert (chosen[0][-1], chosen[1][-1]) == (True, False)


def test_unknown_protocols_name_the_nearest(finished):
    with pytest.raises(UsageError, match="did you mean linear"):
        twofold.evaluate(finished, protocols=("liner",))


def test_a_held_out_split_is_made_where_there_is_none():
    images = np.zeros((12, 3, 8, 8), np.uint8)
    train, test, _ = labelled_splits(Data(Array(images, [0] * 6 + [1] * 6)), "x")
    assert test.indices == [4, 10]
    assert len(train) == 10
    with pytest.raises(UsageError, match="no labels"):
        labelled_splits(Data(Array(images)), "x")
    with pytest.raises(UsageError, match="one class"):
        labelled_splits(Data(Array(images, [0] * 12)), "x")
