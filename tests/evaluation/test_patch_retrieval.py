"""Patch retrieval: the share of a patch's class among the nearest patches of other images."""

import numpy as np
import pytest
import torch

import twofold
from tests.evaluation.grain import Directions, grain
from twofold.evaluation import patch_retrieval
from twofold.evaluation.scores import patches_retrieved


def test_a_network_that_sees_directions_finds_them_pixels_do_not():
    random = np.random.default_rng(0)
    pictures = [grain(32, bool(number % 2), random).astype(np.uint8) for number in range(60)]
    data = {"train": (pictures[:40], [n % 2 for n in range(40)]), "test": (pictures[40:], [n % 2 for n in range(20)])}
    result = twofold.evaluate(Directions(), data, "patch_retrieval", size=32)
    scores = result["scores"]["patch_retrieval"]
    assert list(scores) == ["raw_pixels", "backbone"]
    for score in scores.values():
        assert (score["metric"], score["over"], score["k"]) == ("precision", "20 test images", 10)
        assert score["labels"] == 40 * 16
    assert scores["backbone"]["value"] > 0.95
    assert scores["backbone"]["value"] > scores["raw_pixels"]["value"] + 0.1


def test_shares_and_their_spread_are_plain():
    random = torch.Generator().manual_seed(0)
    bank, asked = torch.randn(70, 5, generator=random), torch.randn(24, 5, generator=random)
    bank_labels, labels = torch.arange(70) % 3, torch.arange(24) // 4 % 3
    owners = torch.arange(24) // 4 * 7  # six images, whose numbers have gaps
    score = patches_retrieved(bank, bank_labels, asked, labels, owners)
    plain = []
    for query, label in zip(asked, labels, strict=True):
        order = torch.cosine_similarity(query[None], bank).argsort(descending=True)[:10]
        plain.append(np.mean([bank_labels[i] == label for i in order]))
    images = np.reshape(plain, (6, 4)).mean(1)
    assert score.value == pytest.approx(images.mean())
    assert score.spread == pytest.approx(images.std() / np.sqrt(5))


def test_patches_are_few_and_the_same_for_every_representation():
    maps = torch.randn(6, 3, 4, 2, generator=torch.Generator().manual_seed(0))
    numbers = [0, 1, 2, 5, 7, 8]
    found, owners = patch_retrieval.sample_patches([maps[:4], maps[4:]], numbers, 30, 0, "train")
    assert owners.tolist() == [number for number in numbers for _ in range(5)]
    for patch, owner in zip(found, owners, strict=True):
        assert (maps[numbers.index(owner)].flatten(0, 1) == patch).all(1).any()
    again, _ = patch_retrieval.sample_patches([maps * 2], numbers, 30, 0, "train")
    torch.testing.assert_close(again, found * 2)
    assert len(patch_retrieval.sample_patches([maps], numbers, 1, 0, "test")[0]) == 6  # one of each at least
    assert len(patch_retrieval.sample_patches([maps], numbers, 1000, 0, "test")[0]) == 6 * 12  # all there are
