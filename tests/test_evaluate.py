"""Evaluation: neighbours and probes against plain ones; nothing is chosen on the test data."""

import json
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import twofold
from twofold.data import open_data
from twofold.data.decode import Unreadable
from twofold.data.sources import Array, Subset
from twofold.errors import UsageError
from twofold.evaluation import features as feature_module
from twofold.evaluation.features import central_crop, central_crops, extract, raw_pixels
from twofold.evaluation.fewshot import few_shot
from twofold.evaluation.knn import knn_predict, neighbours
from twofold.evaluation.linear import LinearProbe
from twofold.evaluation.protocols import parts_for_evaluation


def blobs(n, d=8, classes=4, seed=0, spread=2.0):
    random = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, d, generator=torch.Generator().manual_seed(99)) * 2
    labels = torch.arange(n) % classes
    return centres[labels] + spread * torch.randn(n, d, generator=random), labels


def test_knn_is_a_weighted_vote():
    bank, labels = blobs(100)
    queries, _ = blobs(20, seed=1)
    expected = []
    for query in queries:
        cosines = [float(query @ row / query.norm() / row.norm()) for row in bank]
        nearest = sorted(range(100), key=lambda i: -cosines[i])[:7]
        votes = [0.0] * 4
        for i in nearest:
            votes[int(labels[i])] += math.exp(cosines[i] / 0.1)
        expected.append(int(np.argmax(votes)))
    assert knn_predict(bank, labels, queries, k=7).tolist() == expected


def test_k_is_capped_for_small_sets():
    assert neighbours(50000, 10) == 200
    assert neighbours(1437, 10) == 143
    assert neighbours(5, 10) == 1


def test_the_probe_is_logistic_regression():
    """For a given strength: scikit-learn's own pipeline, prediction for prediction."""
    x, y = blobs(300)
    test, _ = blobs(200, seed=1)
    mean = x.mean(0)
    length = sum(float((row - mean) @ (row - mean)) for row in x) ** 0.5 / 300**0.5
    plain = LogisticRegression(C=10, max_iter=1000, tol=1e-6).fit(((x - mean) / length).numpy(), y.numpy())
    ours = LinearProbe(10).fit(x, y).predict(test)
    assert (ours == plain.predict(((test - mean) / length).numpy())).mean() > 0.99


def test_the_strength_is_chosen_without_the_test_images():
    x, y = blobs(400, d=40)
    noise = torch.randn(400, 200, generator=torch.Generator().manual_seed(3))
    probe = LinearProbe().fit(torch.cat([x, noise], 1), y)
    assert probe.strength < 100  # 200 dimensions of noise ask for strong regularisation
    assert LinearProbe().fit(torch.cat([x, noise], 1), y).strength == probe.strength


def test_few_labels_are_the_same_images_for_every_representation():
    x, y = blobs(200)
    test, test_labels = blobs(100, seed=1)
    scores = few_shot(x, y, test, test_labels, shots=2, draws=6)
    assert len(scores) == 6
    assert len(set(scores)) > 1  # different draws
    assert few_shot(x * 3 + 1, y, test * 3 + 1, test_labels, 2, 6) == pytest.approx(scores, abs=0.011)
    many = few_shot(x, y, test, test_labels, shots=20, draws=6)
    assert np.mean(many) > np.mean(scores)


def test_central_crops_skip_what_cannot_be_read():
    class Breaking(Subset):
        def image(self, index):
            if index == 300:
                raise Unreadable("broken")
            return super().image(index)

    images = np.random.default_rng(0).integers(0, 256, (600, 3, 8, 8), np.uint8)
    source = Breaking(Array(images), range(600))
    numbers, batches = zip(*central_crops(source, 8), strict=True)
    assert [n for batch in numbers for n in batch] == [n for n in range(600) if n != 300]
    assert np.array_equal(torch.cat(batches).numpy(), np.delete(images, 300, 0))


def test_photographs_are_cropped_small_images_are_not():
    photo = np.zeros((3, 80, 160), np.uint8)
    photo[:, 5:75, 45:115] = 200  # the central 7/8 of the largest square
    assert (central_crop(photo, 32) == 200).all()
    small = np.full((3, 30, 40), 9, np.uint8)
    small[:, :, 5:35] = 50
    assert (central_crop(small, 30) == 50).all()


def test_labels_follow_their_images():
    data = open_data("digits")
    found = extract(data.train, 8, {"raw": raw_pixels})["raw"]
    assert found.labels.tolist() == data.train.labels
    assert found.values.shape == (1438, 192)


def test_a_held_out_part_is_made_where_there_is_none():
    images = np.zeros((12, 3, 8, 8), np.uint8)
    from twofold.data import Data

    train, test, _ = parts_for_evaluation(Data(Array(images, [0] * 6 + [1] * 6)), "x")
    assert test.indices == [4, 10]
    assert len(train) == 10
    with pytest.raises(UsageError, match="no labels"):
        parts_for_evaluation(Data(Array(images)), "x")
    with pytest.raises(UsageError, match="one class"):
        parts_for_evaluation(Data(Array(images, [0] * 12)), "x")


def test_a_run_is_measured_beside_its_yardsticks(finished, monkeypatch):
    result = twofold.evaluate(finished, protocols=("knn", "linear", "fewshot"))
    assert json.loads((finished.path / "evaluation.json").read_text()) == result
    assert set(result["scores"]) == {"knn", "linear", "1 a class", "5 a class", "10 a class", "all labels"}
    for scores in result["scores"].values():
        assert list(scores) == ["raw pixels", "untrained", "pretrained"]
        assert all(0 < s["accuracy"] <= 1 and s["spread"] > 0 and s["over"] for s in scores.values())
    assert result["recipe"]["method"] == "simclr"
    assert result["data"]["test"] == 359
    assert set(result["versions"]) >= {"twofold", "torch", "timm"}
    # The features are kept: a second time nothing goes through a network.
    monkeypatch.setattr(feature_module, "extract", None)
    again = twofold.evaluate(finished, protocols=("knn",))
    assert again["scores"]["knn"] == result["scores"]["knn"]


def test_unknown_protocols_name_the_nearest(finished):
    with pytest.raises(UsageError, match="did you mean linear"):
        twofold.evaluate(finished, protocols=("liner",))


def test_parts_with_the_same_names_are_not_mixed_up(tmp_path):
    """Noise in files of equal names and sizes cannot be told apart; it once could, as its own training part."""
    from tests.conftest import encoded, tiny

    random = np.random.default_rng(0)
    for part in ("train", "test"):
        for kind in ("a", "b"):
            (tmp_path / "noise" / part / kind).mkdir(parents=True)
            for number in range(30):
                file = encoded(random.integers(0, 256, (12, 12, 3), np.uint8), "BMP")
                (tmp_path / "noise" / part / kind / f"{number}.bmp").write_bytes(file)
    settings = {**tiny("simclr"), "data": str(tmp_path / "noise"), "epochs": 1, "batch": 30}
    run = twofold.pretrain(out=tmp_path / "run", quiet=True, **settings)
    scores = twofold.evaluate(run, protocols="knn,linear")["scores"]
    assert all(0.2 < s["accuracy"] < 0.8 for protocol in scores.values() for s in protocol.values())


def test_few_and_uneven_labels_are_no_obstacle():
    x, y = blobs(31, classes=2)
    y[:] = 0
    y[-1] = 1000
    assert set(LinearProbe().fit(x, y).predict(x)) <= {0, 1000}
    assert set(knn_predict(x, y, x).tolist()) <= {0, 1000}
