"""`twofold evaluate`: the table as a whole; nothing is chosen by the test labels; other backbones beside."""

import numpy as np
import pytest
import torch
from torch import nn

import twofold
from tests.conftest import blobs
from twofold import probes
from twofold.cli import tables
from twofold.data.opening import Data, open_data
from twofold.data.sources import Array
from twofold.encoding import extract
from twofold.errors import UsageError
from twofold.evaluation import finetune, mlp, subject
from twofold.evaluation.protocols import DENSE, PROTOCOLS
from twofold.evaluation.split import labelled_splits
from twofold.storage.files import read_json, write_json

EVERY = tuple(name for name in PROTOCOLS if name != "segmentation")  # which needs masks: test_segmentation.py
SIX = tuple(name for name in PROTOCOLS if name not in ("finetune", *DENSE))


def test_features_that_are_no_numbers_are_refused():
    """The logarithm of a black image: as a neighbour of all it would decide every vote."""

    class Log(nn.Module):
        def forward(self, images):
            return images.mean((2, 3)).log()

    images = torch.randint(1, 256, (40, 3, 16, 16), dtype=torch.uint8)
    images[17] = 0
    with pytest.raises(UsageError, match=r"backbone: the features of 1 of 32 training images are not finite .* 17"):
        twofold.evaluate(Log(), (images, [0, 1] * 20), size=16, mean=[0.0] * 3, std=[1.0] * 3, protocols="knn")


def test_classes_of_uneven_sizes_have_balanced_rows():
    """From three times as many test images of one class as of another on; few labels are drawn evenly anyway."""
    x, y = blobs(240, spread=3.0)
    test, truth = blobs(100, seed=1, spread=3.0)
    for left_out, rows in ((16, ["knn", "linear"]), (17, ["knn", "knn_balanced", "linear", "linear_balanced"])):
        kept = torch.cat([torch.arange(100)[truth != 0], torch.arange(100)[truth == 0][left_out:]])
        result = twofold.evaluate(x, labels=y, test=test[kept], test_labels=truth[kept], protocols="knn,linear")
        assert list(result["scores"]) == rows
    score, balanced = (result["scores"][row]["features"] for row in ("knn", "knn_balanced"))
    assert balanced["value"] == pytest.approx(np.mean(list(score["recall"].values())))
    assert balanced["metric"] == "balanced accuracy"
    assert "knn, balanced" in tables.evaluation(result)


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
    assert finished.evaluation == result
    every = ["raw_pixels", "untrained", "pretrained", "projector"]
    assert result["representations"] == every
    few = ["few_1", "few_2", "few_5", "few_10", "few_10_percent", "all_labels"]
    spread = [row.replace("few", "transductive") for row in few[:-1]]
    found = [f"clusters_10_labels_{n}" for n in (1, 2, 5, 10)]
    ranked = ["retrieval_map", *(f"recall_at_{k}" for k in (1, 5, 10))]
    assert list(result["scores"]) == [
        "knn", "linear", "mlp", "finetune", *few, *spread, "clusters_10_nmi", "clusters_10_ari", *found, *ranked,
        "patch_retrieval",
    ]  # fmt: skip
    metrics = {"clusters_10_nmi": "NMI", "clusters_10_ari": "ARI", "retrieval_map": "mean average precision"}
    metrics |= {f"recall_at_{k}": f"recall at {k}" for k in (1, 5, 10)}
    fewer = {"finetune": every[1:3], "patch_retrieval": every[:3]}
    metrics["patch_retrieval"] = "precision"
    assert list(result["gains"]) == list(result["scores"])
    alone = {row for row, gain in result["gains"].items() if gain["over"] == "both as if they were independent"}
    assert alone == {"clusters_10_nmi", "clusters_10_ari"}
    for row, scores in result["scores"].items():
        assert sorted(scores) == sorted(fewer.get(row, every))
        gain = result["gains"][row]
        assert gain["value"] == pytest.approx(scores["pretrained"]["value"] - scores["untrained"]["value"], abs=1e-6)
        assert gain["spread"] > 0
        for score in scores.values():
            assert 0 < score["value"] <= 1
            assert score["spread"] > 0 or score["value"] == 1 or row == "finetune"  # whose steps are two
            assert score["over"]
            assert score["metric"] == metrics.get(row, "accuracy")
    labels = {row: scores["pretrained"].get("labels") for row, scores in result["scores"].items()}
    assert labels["linear"] == labels["finetune"] == labels["all_labels"] == 256
    assert [labels[row] for row in few] == [10, 20, 50, 100, 26, 256]
    assert [labels[row] for row in found] == [10, 20, 50, 100]
    assert labels["retrieval_map"] is None
    sampled, fewest = result["notes"]
    assert "a sample of 256 of 1438 images" in sampled
    assert fewest == "1 % of 256 labels are 3, less than one for each of 10 classes: no such row"
    assert result["recipe"]["method"] == "simclr"
    assert result["verdict"][0].startswith("the pretrained features are ")
    assert result["data"]["test"] == 359
    assert set(result["versions"]) >= {"twofold", "torch", "timm"}
    assert set(result["seconds"]) == set(EVERY)
    assert any(what.startswith("finetune, pretrained: run 2 of 2") for what, _, _ in told)

    text = tables.evaluation(result)
    for title in (
        "raw pixels",
        "\n 5 a class",
        "10 % of labels",
        "10 clusters, 1 label each",
        "retrieval, recall at 10",
    ):
        assert title in text
    assert max(map(len, text.split("± a:")[0].splitlines())) <= 100
    assert "± b: over 3 seeds of the head\n" in text
    assert text.count(" a\n") >= 6  # what a spread is over stands in the row, as a letter
    # The features are kept: a second time nothing goes through a network.
    monkeypatch.setattr(extract, "extract", None)
    again = twofold.evaluate(finished, protocols=("knn", "fewshot", "mlp"))
    for row in again["scores"]:
        assert again["scores"][row] == result["scores"][row]
    other = twofold.evaluate(finished, protocols="fewshot", seed=1)
    assert other["seed"] == 1
    assert other["scores"]["few_1"] != result["scores"]["few_1"]


def test_nothing_is_chosen_by_the_test_labels(finished, quick):
    """With other test labels every figure may change, no choice does."""
    chosen = []
    for shift in (0, 1):
        data = open_data("digits")
        other = Array(data.test.images, [(label + shift) % 10 for label in data.test.labels], data.test.classes)
        changed = type(data)(data.train, other)
        scores = twofold.evaluate(finished, changed, protocols=("knn", "linear", "mlp", "finetune"))["scores"]
        chosen.append(
            [
                (row, who, s.get("strength"), s.get("rate"), s.get("k"))
                for row, it in scores.items()
                for who, s in it.items()
            ]
        )
        chosen[-1].append(scores["linear"]["pretrained"]["value"] > 0.3)
    assert chosen[0][:-1] == chosen[1][:-1]
    assert (chosen[0][-1], chosen[1][-1]) == (True, False)


def test_unknown_protocols_name_the_nearest(finished):
    with pytest.raises(UsageError, match="did you mean linear"):
        twofold.evaluate(finished, protocols=("liner",))
    with pytest.raises(UsageError, match="protocols must name at least one of knn, linear"):
        twofold.evaluate(finished, protocols=",")


def test_a_held_out_split_is_made_where_there_is_none():
    images = np.zeros((12, 3, 8, 8), np.uint8)
    train, test, _ = labelled_splits(Data(Array(images, [0] * 6 + [1] * 6)))
    assert test.indices == [4, 10]
    assert len(train) == 10
    with pytest.raises(UsageError, match="no labels"):
        labelled_splits(Data(Array(images)))
    with pytest.raises(UsageError, match="one class"):
        labelled_splits(Data(Array(images, [0] * 12)))


# -- without a run ----------------------------------------------------------------------------------------------------


def test_any_backbone_is_measured_beside_raw_pixels(tmp_path, quick):
    """A network as it is; nothing is written unless it is asked for. Its scores are those of its plain features."""
    network, data = nn.Sequential(nn.AvgPool2d(2), nn.Flatten()), open_data("digits").limited(200)
    result = twofold.evaluate(network, data, ("knn", "finetune"), size=8, out=tmp_path / "scores.json")
    assert read_json(tmp_path / "scores.json", "") == result
    assert result["representations"] == ["raw_pixels", "backbone"]
    assert list(result["scores"]["finetune"]) == ["backbone"]
    assert "recipe" not in result
    assert result["data"]["name"] == "digits"
    train, test = (twofold.features(network, source, size=8) for source in (data.train, data.test))
    score = probes.knn(train, data.train.labels, test, data.test.labels)
    assert result["scores"]["knn"]["backbone"]["value"] == pytest.approx(score.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.json"]


def test_a_run_and_its_backbone_have_the_same_scores(finished):
    """A backbone that was loaded knows how its images are prepared."""
    run = twofold.evaluate(finished, protocols="linear")["scores"]["linear"]["pretrained"]
    data = open_data("digits").limited(finished.recipe.limit)
    backbone = twofold.evaluate(twofold.load_backbone(finished), data, "linear")["scores"]["linear"]["backbone"]
    assert backbone == run


def test_what_it_advises_is_of_the_images_it_measured(finished, monkeypatch):
    monkeypatch.setattr(subject, "unmeasured", lambda settings, baselines, data: [f"{baselines} of {data}"])
    images = open_data("digits").train.images[:40]
    measured = twofold.evaluate(finished, (images, [0, 1] * 20), "knn", baseline=str(finished.path))
    assert measured["notes"][0] == f"['{finished.path}'] of python:ndarray"


def test_features_are_measured_without_images():
    """By every protocol that needs no images; a fifth of each class is held out if nothing else is said."""
    x, y = blobs(300, spread=1.0)
    names = np.array(["ant", "bee", "cat", "dog"])[y]
    told = []
    alone = twofold.evaluate(x.numpy(), labels=names, protocols=SIX, tell=lambda *words: told.append(words))
    assert alone["representations"] == ["features"]
    assert alone["data"]["classes"] == ["ant", "bee", "cat", "dog"]
    assert (alone["data"]["train"], alone["data"]["test"]) == (240, 60)
    assert set(alone["seconds"]) == set(SIX)
    assert told
    test, truth = blobs(100, seed=1, spread=1.0)
    given = twofold.evaluate(x, labels=y, test=test, test_labels=truth)["scores"]
    assert given["knn"]["features"]["value"] == probes.knn(x, y, test, truth).value
    assert given["linear"]["features"]["value"] == probes.linear(x, y, test, truth).value


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(what=torch.ones(5, 2)), "labels are needed, one for each row"),
        (dict(what=torch.ones(5, 2), labels=[0, 1, 0, 1, 0], data="digits"), "data is of no use with features"),
        (dict(what=torch.ones(5, 2), labels=[0] * 5, protocols="finetune"), "finetune needs a backbone and images"),
        (
            dict(what=torch.ones(5, 2), labels=[0, 1, 0, 1, 0], protocols="segmentation"),
            "segmentation needs a backbone",
        ),
        (dict(what=nn.Flatten(), data="digits", size=8, protocols="patch_retrieval"), "Flatten has no features of pat"),
        (
            dict(what=nn.Flatten(), data="digits", size=8, protocols="segmentation"),
            "no training image in digits has a ma",
        ),
        (dict(what=torch.ones(9, 2), labels=[0] * 9), "all of one class"),
        (dict(what=torch.ones(5, 2), labels=[0, 1, 0, 1, 0]), "no class in the labels has five images"),
        (dict(what=nn.Flatten(), size=8), "data is needed"),
        (dict(what=nn.Flatten(), data="digits", size=8, labels=[1]), "labels is of no use with a backbone"),
        (dict(what=nn.Flatten(), data="digits", size=8, baseline="backbone"), "backbone is a column already"),
        (dict(what=nn.Flatten(), data="digits", size=8, out="nowhere/x.json"), "there is no folder nowhere"),
        (dict(what="resnet81", data="digits"), "no timm model 'resnet81'; did you mean"),
    ],
)
def test_what_cannot_be_measured_is_one_line(arguments, words):
    with pytest.raises(UsageError, match=words) as caught:
        twofold.evaluate(**arguments)
    assert "\n" not in str(caught.value)


def test_a_run_prepares_its_images_itself(finished):
    with pytest.raises(UsageError, match="size is of no use with a run"):
        twofold.evaluate(finished, size=16)


def test_scores_that_replace_those_of_other_images_say_so(tmp_path, quick):
    network, file = nn.Sequential(nn.AvgPool2d(2), nn.Flatten()), tmp_path / "scores.json"
    random = np.random.default_rng(0)
    others = random.integers(0, 256, (40, 3, 8, 8), np.uint8), [0, 1] * 20

    def said(data):
        notes = twofold.evaluate(network, data, "knn", size=8, out=file)["notes"]
        return [note for note in notes if "replace" in note]

    assert [said("digits"), said("digits")] == [[], []]
    assert said(others) == [f"these scores replace those of digits in {file} (--out FILE keeps both)"]
    for content in ({}, {"data": None}):  # of no use, so nothing is lost
        write_json(file, content, indent=1)
        assert not said("digits")


def test_every_accuracy_of_uneven_classes_has_a_balanced_one_beside_it():
    features, labels = np.random.default_rng(0).normal(size=(90, 4)), np.array([0] * 70 + [1] * 20)
    rows = list(twofold.evaluate(features, labels=labels, protocols="knn,linear,fewshot,transductive")["scores"])
    plain = [row for row in rows if not row.endswith("_balanced")]
    assert {"knn", "few_5", "all_labels", "transductive_5"} <= set(plain)
    assert rows == [name for row in plain for name in (row, f"{row}_balanced")]
