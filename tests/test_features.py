"""Features and neighbours against plain ones; the parts of the data; embedding."""

import math

import numpy as np
import pytest
import torch

import twofold
from tests.conftest import blobs
from twofold.data.decode import Unreadable
from twofold.data.opening import open_data
from twofold.data.sources import Array, Subset
from twofold.encoding.features import central_crop, central_crops, extract, raw_pixels
from twofold.errors import UsageError
from twofold.evaluation.evaluate import parts_for_evaluation
from twofold.evaluation.knn import knn_predict, neighbours


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
    from twofold.data.opening import Data

    train, test, _ = parts_for_evaluation(Data(Array(images, [0] * 6 + [1] * 6)), "x")
    assert test.indices == [4, 10]
    assert len(train) == 10
    with pytest.raises(UsageError, match="no labels"):
        parts_for_evaluation(Data(Array(images)), "x")
    with pytest.raises(UsageError, match="one class"):
        parts_for_evaluation(Data(Array(images, [0] * 12)), "x")


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
    assert all(0.2 < s["value"] < 0.8 for protocol in scores.values() for s in protocol.values())
