"""`twofold.probes`: what the evaluation measures, of plain arrays."""

import doctest

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, normalized_mutual_info_score, recall_score
from sklearn.neighbors import KNeighborsClassifier

from tests.conftest import blobs
from twofold import probes
from twofold.errors import UsageError
from twofold.evaluation import mlp
from twofold.evaluation.clusters import centres, kmeans, nearest_centre
from twofold.evaluation.score import Score
from twofold.rng import fold

X, Y = blobs(240, spread=3.0)
TEST, TRUTH = blobs(100, seed=1, spread=3.0)
SPLIT = (X, Y, TEST, TRUTH)
EVERY = ("knn", "linear", "mlp", "few_labels", "transductive", "clusters", "retrieval")


@pytest.fixture
def short(monkeypatch):
    """Heads with a hidden layer for a few steps only."""
    monkeypatch.setattr(mlp, "STEPS", 5)
    monkeypatch.setattr(mlp, "EPOCHS", 1)


def test_the_example_is_true():
    done = doctest.testmod(probes)
    assert done.attempted > 5
    assert done.failed == 0


def test_every_probe_is_there():
    assert {name for name in probes.__all__ if name.islower()} == {*EVERY, "segmentation", "label_the_rest"}


@pytest.mark.parametrize("name", EVERY)
def test_any_arrays_and_any_labels_are_alike(name, short):
    """Tensors, arrays of either precision, lists; numbers and texts in the same order."""
    probe = getattr(probes, name)
    expected = probe(*SPLIT)
    arrays = X.double().numpy(), Y.tolist(), TEST.numpy(), TRUTH.numpy()
    assert probe(*arrays) == expected
    names = np.array(["ant", "bee", "cat", "dog"])
    assert probe(X, names[Y], TEST, names[TRUTH].tolist()) == expected
    objects = names.astype(object)  # as pandas has them
    assert probe(X, objects[Y], TEST, objects[TRUTH]) == expected


def test_neighbours_and_heads_are_scikit_learns():
    unit = [(block / block.norm(dim=1, keepdim=True)).numpy() for block in (X, TEST)]
    for k in (1, 5):
        plain = KNeighborsClassifier(k, weights=lambda d: np.exp((1 - d**2 / 2) / 0.1)).fit(unit[0], Y.numpy())
        assert probes.knn(*SPLIT, k=k).value == pytest.approx(plain.score(unit[1], TRUTH.numpy()))
    mean = X.mean(0)
    length = (X - mean).square().sum(1).mean().sqrt()
    for strength in (0.1, 10.0):
        plain = LogisticRegression(C=strength, max_iter=1000).fit(((X - mean) / length).numpy(), Y.numpy())
        score = probes.linear(*SPLIT, strength=strength)
        assert score.value == pytest.approx(plain.score(((TEST - mean) / length).numpy(), TRUTH.numpy()), abs=0.011)
    assert probes.linear(*SPLIT).chosen["strength"] in (0.1, 1.0, 10.0, 100.0)


def test_a_figure_says_what_its_spread_is_over(short):
    knn, head = probes.knn(*SPLIT), probes.mlp(*SPLIT)
    assert float(knn) == knn.value
    assert knn.spread == pytest.approx((knn.value * (1 - knn.value) / 100) ** 0.5)
    assert (knn.over, knn.labels, knn.chosen) == ("100 test images", 240, {"k": 60})
    assert head.over == "3 seeds of the head"


def test_every_class_counts_alike_in_the_balanced_accuracy():
    few = torch.cat([(label == TRUTH).nonzero()[: 4 * label + 4, 0] for label in range(4)])
    names = np.array(["ant", "bee", "cat", "dog"])
    score = probes.knn(X, names[Y], TEST[few] + 1, names[TRUTH[few]], k=5)
    unit = [(block / block.norm(dim=1, keepdim=True)).numpy() for block in (X, TEST[few] + 1)]
    plain = KNeighborsClassifier(5, weights=lambda d: np.exp((1 - d**2 / 2) / 0.1)).fit(unit[0], Y.numpy())
    predicted = plain.predict(unit[1])
    shares = recall_score(TRUTH[few].numpy(), predicted, average=None)
    assert len(set(shares)) > 1
    assert list(score.recall.values()) == pytest.approx(shares)
    assert score.balanced.value == pytest.approx(balanced_accuracy_score(TRUTH[few].numpy(), predicted))
    images = np.array([4, 8, 12, 16])
    likely = (shares * images + 1) / (images + 2)
    assert score.balanced.spread == pytest.approx(np.sqrt((likely * (1 - likely) / images).sum()) / 4)
    assert list(score.json(list(names))["recall"]) == list(names)


def test_the_spread_of_a_balanced_accuracy_with_a_class_of_one_image_is_not_too_small():
    """Guesses, again and again: what is reported is about the deviation that there is."""
    random = torch.Generator().manual_seed(0)
    truth = torch.tensor([0] * 100 + [1])
    found = [Score.of_predictions(torch.randint(2, (101,), generator=random), truth) for _ in range(400)]
    deviation = np.std([score.balanced.value for score in found])
    assert np.mean([score.balanced.spread for score in found]) == pytest.approx(deviation, rel=0.15)


def test_more_labels_are_better_and_the_draws_are_reproducible():
    few = probes.few_labels(*SPLIT, labels_per_class=(1, 20), draws=4)
    assert list(few) == [1, 20]
    assert few[1].value < few[20].value
    assert (few[20].labels, few[20].over) == (80, "4 draws of the labels")
    assert probes.few_labels(*SPLIT, labels_per_class=(20,), draws=4) == {20: few[20]}
    assert probes.few_labels(*SPLIT, labels_per_class=(1,), draws=4, seed=1)[1] != few[1]


def test_clusters_are_those_of_k_means():
    found = probes.clusters(*SPLIT, count=6, starts=2)
    values = []
    for start in range(2):
        members = kmeans(X, 6, fold(0, "start", start))
        values.append(normalized_mutual_info_score(TRUTH, nearest_centre(TEST, centres(X, members, 6))))
    assert found.nmi.value == pytest.approx(np.mean(values))
    assert list(found.named) == [1, 2, 5, 10]
    assert found.named[10].value > found.named[1].value
    assert probes.clusters(*SPLIT).nmi != found.nmi  # as many as classes


def test_retrieval_is_perfect_where_classes_lie_apart():
    x, y = blobs(80, spread=0.01)
    test, truth = blobs(40, seed=1, spread=0.01)
    found = probes.retrieval(x, y, test, truth)
    assert found.mean_average_precision.value == pytest.approx(1)
    assert {depth: score.value for depth, score in found.recall.items()} == {1: 1, 5: 1, 10: 1}
    noise = torch.randn(80, 8, generator=torch.Generator().manual_seed(0))
    assert probes.retrieval(noise, y, test, truth).mean_average_precision.value < 0.5


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("split", "words"),
    [
        ((X, Y[:-1], TEST, TRUTH), "240 rows of features with 239 labels"),
        ((X, Y, TEST[:, :5], TRUTH), "features of 8 numbers cannot be tested on 5 numbers each"),
        ((X, Y * 0, TEST, TRUTH), "labels are all of one class"),
        ((X, Y.float(), TEST, TRUTH), "labels must be one whole number or text for each row"),
        ((X, Y, TEST, ["a"] * 100), "labels must all be whole numbers, or all be texts"),
        ((X, Y, TEST * torch.nan, TRUTH), "test features hold values that are not finite"),
        ((X[0], Y, TEST, TRUTH), r"features must have the shape \[N, D\]"),
        ((X, None, TEST, TRUTH), "labels are needed"),
    ],
)
def test_what_cannot_be_probed_is_one_line(name, split, words):
    with pytest.raises(UsageError, match=words) as caught:
        getattr(probes, name)(*split)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("knn", dict(k=241), "k must be from 1 to the 240 training rows"),
        ("linear", dict(strength=0.0), "strength must be above 0"),
        ("few_labels", dict(draws=1), "at least 2 draws"),
        ("few_labels", dict(labels_per_class=()), "at least 1 label a class"),
        ("clusters", dict(count=1), "count must be from 2 to the 240 training rows"),
        ("clusters", dict(starts=1), "starts must be at least 2"),
    ],
)
def test_a_setting_out_of_range_is_one_line(name, settings, words):
    with pytest.raises(UsageError, match=words):
        getattr(probes, name)(*SPLIT, **settings)


def dense_case(images, seed):
    """Maps of 4 x 5 patches whose first number says the class, and masks of 12 x 15 pixels with an ignored row."""
    random = torch.Generator().manual_seed(seed)
    classes = torch.randint(2, (images, 4, 5), generator=random)
    maps = torch.randn(images, 4, 5, 3, generator=random)
    maps[..., 0] = classes * 2.0 - 1
    masks = classes.repeat_interleave(3, 1).repeat_interleave(3, 2)
    masks[:, 0] = 255
    return maps, masks


def test_pixels_are_told_apart_by_their_patches():
    train, test = dense_case(30, 0), dense_case(20, 1)
    found = probes.segmentation(*train, *test)
    assert found.mean_iou.value > 0.8  # patches' borders are interpolated
    assert found.pixel_accuracy.value > 0.9
    assert 0 < found.pixel_accuracy.spread < 0.05
    assert found.commonest[1] < 0.6
    assert found.mean_iou.labels == 30 * 64
    again = probes.segmentation(train[0].numpy(), list(train[1].numpy()), test[0], [mask.byte() for mask in test[1]])
    assert again == found
    nothing = probes.segmentation(torch.randn_like(train[0]), train[1], torch.randn_like(test[0]), test[1])
    assert nothing.pixel_accuracy.value < 0.65
    assert probes.segmentation(*train, *test, strength=1e-6).mean_iou.chosen == {"strength": 1e-6}


MAPS, MASKS = dense_case(6, 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((MAPS.flatten(1), MASKS, MAPS, MASKS), r"training features must be maps of patches, .* not Tensor \[6, 60\]"),
        ((MAPS, MASKS[:5], MAPS, MASKS), "6 training maps of features with 5 masks: each needs a mask"),
        ((MAPS, MASKS, MAPS[..., :2], MASKS), "features of 3 numbers cannot be tested on 2 numbers each"),
        ((MAPS, MASKS, MAPS * torch.nan, MASKS), "the test features hold values that are not finite"),
        ((MAPS, MASKS.float(), MAPS, MASKS), r"training mask must hold whole numbers \[H, W\], not float32 \[12, 15\]"),
        ((MAPS, MASKS, MAPS, MASKS - 1), "a test mask holds -1 to 254; classes are 0 to 254, 255 is ignored"),
        ((MAPS, MASKS * 0, MAPS, MASKS), "training masks have only the value 0 beside 255"),
        ((MAPS, MASKS * 0 + 255, MAPS, MASKS), "training masks have no value beside 255"),
        ((MAPS, MASKS, MAPS, MASKS * 0 + 255), "there is no test image with a mask that .* has a pixel of a class"),
        ((MAPS, MASKS, MAPS, MASKS, 0.0), "strength must be above 0"),
    ],
)
def test_what_cannot_be_segmented_is_one_line(arguments, words):
    with pytest.raises(UsageError, match=words) as caught:
        probes.segmentation(*arguments)
    assert "\n" not in str(caught.value)
