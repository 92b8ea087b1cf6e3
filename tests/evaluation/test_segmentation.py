"""Linear segmentation: a head on patches that is right about pixels, and is chosen by none of the test images."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, jaccard_score
from torch import nn
from torch.nn import functional as F

import twofold
from tests.conftest import encoded, picture
from tests.evaluation.grain import Directions, draw, grained
from twofold import probes
from twofold.cli import tables
from twofold.data.masks import black_and_white
from twofold.data.opening import open_data
from twofold.errors import UsageError
from twofold.evaluation import segmentation
from twofold.evaluation.linear import Probe
from twofold.storage.files import read_json


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """40 training and 20 test pictures with masks."""
    root = tmp_path_factory.mktemp("shapes")
    draw(root / "train", 40)
    draw(root / "test", 20, first=40)
    return root


def test_a_head_on_patches_beats_pixels_and_the_commonest_class(shapes, tmp_path):
    result = twofold.evaluate(Directions(), shapes, "segmentation", size=64, out=tmp_path / "scores.json")
    assert read_json(tmp_path / "scores.json", "") == result
    assert list(result["scores"]) == ["segmentation_miou", "segmentation_accuracy"]
    for row, metric in (("segmentation_miou", "mean IoU"), ("segmentation_accuracy", "pixel accuracy")):
        scores = result["scores"][row]
        assert {score["metric"] for score in scores.values()} == {metric}
        assert {score["labels"] for score in scores.values()} == {40 * 64}
        assert {score["over"] for score in scores.values()} == {"20 bootstrap samples of the test images"}
        assert all(0 < score["spread"] < 0.1 for score in scores.values())
    (note,) = result["notes"]
    iou, share = (float(words.split(" %")[0]) / 100 for words in (note.split("IoU ")[1], note.split("accuracy ")[1]))
    assert 0.6 < share < 0.9
    assert iou == pytest.approx(share / 2, abs=1e-3)  # nothing of the other class is found
    ours, pixels = (result["scores"]["segmentation_miou"][who]["value"] for who in ("backbone", "raw_pixels"))
    assert ours > 0.75
    assert pixels < iou + 0.1
    assert ours > pixels + 0.2
    assert result["scores"]["segmentation_accuracy"]["backbone"]["value"] > share + 0.1
    assert "segmentation, mean IoU" in tables.evaluation(result)
    assert result["data"]["classes"] == []  # no labels are needed
    assert (result["data"]["train"], result["data"]["test"]) == (40, 20)


def test_the_probe_of_plain_arrays_says_the_same(shapes):
    """Pictures of 64 pixels are taken whole, so the files' masks are those of the maps."""
    data = open_data(shapes)
    maps = [twofold.features(Directions(), source, size=64, patches=True).maps for source in (data.train, data.test)]
    masks = [[source.mask(number) for number in range(len(source))] for source in (data.train, data.test)]
    found = probes.segmentation(maps[0], masks[0], maps[1].numpy(), np.stack(masks[1]))
    scores = twofold.evaluate(Directions(), shapes, "segmentation", size=64)["scores"]
    assert found.mean_iou.json() == scores["segmentation_miou"]["backbone"]
    assert found.pixel_accuracy.json() == scores["segmentation_accuracy"]["backbone"]
    assert set(found.iou) == {0, 1}
    assert np.mean(list(found.iou.values())) == pytest.approx(found.mean_iou.value)


def test_nothing_is_chosen_by_the_test_masks(shapes, monkeypatch):
    maps = twofold.features(Directions(), shapes, size=64, patches=True).maps
    masks = np.stack([grained(number)[1] for number in range(60)])
    other = np.where(masks == 255, 255, 1 - masks).astype(np.uint8)
    right = probes.segmentation(maps[:40], masks[:40], maps[40:], masks[40:])
    wrong = probes.segmentation(maps[:40], masks[:40], maps[40:], other[40:])
    assert right.mean_iou.chosen == wrong.mean_iou.chosen
    assert wrong.pixel_accuracy.value == pytest.approx(1 - right.pixel_accuracy.value, abs=1e-6)


def random_case(classes=4):
    """Scores of a head on random maps, and masks of another size with ignored pixels and a class less."""
    random = torch.Generator().manual_seed(0)
    maps, weights = torch.randn(5, 3, 4, 6, generator=random), torch.randn(6, classes, generator=random)
    head = Probe(weights, torch.randn(classes, generator=random), torch.tensor([0, 2, 3, 7])[:classes], 1.0)
    masks = torch.tensor([0, 2, 3, 255])[torch.randint(4, (5, 17, 21), generator=random)].to(torch.uint8)
    return maps, head, list(masks)


def test_a_pixels_features_have_the_scores_that_are_interpolated():
    """So a head that is fitted on pixels is fitted for what it is used for."""
    maps, head, masks = random_case()
    scores = (maps[0] @ head.weights + head.intercepts).permute(2, 0, 1)[None]
    fine = F.interpolate(scores, masks[0].shape, mode="bilinear")[0]
    rows, columns = (places.flatten() for places in torch.meshgrid(torch.arange(17), torch.arange(21), indexing="ij"))
    found = segmentation.at_pixels(maps[0], (17, 21), rows, columns)
    torch.testing.assert_close((found @ head.weights + head.intercepts).T.reshape(fine.shape), fine)


def test_overlaps_are_scikit_learns():
    maps, head, masks = random_case()
    counts = segmentation.count(head, [(maps[:2], masks[:2]), (maps[2:], masks[2:])])
    assert counts.shape == (5, 3, 255)
    said = torch.stack([segmentation.predict(head, own, (17, 21)) for own in maps])
    truth = torch.stack(masks)
    truth, guess = truth[truth != 255].long().numpy(), said[truth != 255].numpy()
    classes, ious = segmentation.overlaps(counts)
    assert classes.tolist() == [0, 2, 3]  # 7 is said to be somewhere, but is nowhere
    assert 7 in guess
    expected = jaccard_score(truth, guess, labels=[0, 2, 3], average=None)
    np.testing.assert_allclose(ious, expected)
    assert segmentation.accuracy(counts) == pytest.approx(accuracy_score(truth, guess))


def test_pixels_are_few_and_the_same_for_every_representation(monkeypatch):
    maps, _, masks = random_case()
    masks[4] = torch.full_like(masks[4], 255)
    monkeypatch.setattr(segmentation, "OF_ONE", 30)
    found = segmentation.sample_pixels([(maps, masks)], 5, 0)
    assert found.images.bincount().tolist() == [30] * 4  # nothing of the last image
    assert set(found.classes.tolist()) == {0, 2, 3}
    again = segmentation.sample_pixels([(maps[:3] * 2, masks[:3]), (maps[3:] * 2, masks[3:])], 5, 0)
    assert torch.equal(again.classes, found.classes)
    torch.testing.assert_close(again.features, found.features * 2)
    assert not torch.equal(segmentation.sample_pixels([(maps, masks)], 5, 1).classes, found.classes)
    monkeypatch.setattr(segmentation, "PIXELS", 50)
    assert len(segmentation.sample_pixels([(maps, masks)], 5, 0).classes) == 40


def test_photographs_are_scored_where_the_backbone_sees_them(tmp_path):
    """On the central crop, by its pixels, however large the mask is."""
    for number in range(10):
        photo = np.zeros((200, 300, 3), np.uint8)
        mask = np.full((200, 300), 7, np.uint8)  # which no backbone sees
        photo[12:187, 62:237] = grained(number, 175)[0]
        mask[12:187, 62:237] = grained(number, 175)[1]
        (tmp_path / f"{number}.png").write_bytes(encoded(photo))
        (tmp_path / f"{number}_mask.png").write_bytes(encoded(mask))
    data = open_data(tmp_path)
    assert (data.train.masked, len(data.train)) == (list(range(10)), 10)
    result = twofold.evaluate(Directions(), data, "segmentation", size=80)
    assert result["data"]["split"] == "every fifth image held out for testing"
    (note,) = result["notes"]
    assert float(note.split("accuracy ")[1].split(" %")[0]) > 60  # class 7 has no pixel
    assert result["scores"]["segmentation_miou"]["backbone"]["value"] > 0.7


@pytest.mark.parametrize("soft", [False, True])
def test_masks_in_black_and_white_have_two_classes(soft, tmp_path):
    """As drawing programs write them, also with soft edges: the scores are those of masks of class numbers."""
    for number in range(20):
        photo, mask = grained(number)
        drawn = np.where(mask == 1, 255, 0).astype(np.uint8)
        if soft:
            drawn[0, :4] = 128, 220 + number, 1, 127
        for name, values in (("drawn", drawn), ("numbers", (drawn >= 128).astype(np.uint8))):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{number:02}.bmp").write_bytes(encoded(photo, "BMP"))
            (tmp_path / name / f"{number:02}.png").write_bytes(encoded(values))
    drawn, numbers = (twofold.evaluate(Directions(), tmp_path / name, "segmentation", size=64)
                      for name in ("drawn", "numbers"))  # fmt: skip
    assert drawn["scores"] == numbers["scores"]
    assert drawn["scores"]["segmentation_miou"]["backbone"]["value"] > 0.75
    assert drawn["data"]["fingerprint"] == numbers["data"]["fingerprint"]
    said = drawn["data"]["split"].removeprefix(numbers["data"]["split"])
    assert said == "; masks are pictures in black and white, where white is class 1"


def test_class_numbers_are_no_black_and_white():
    counts = np.zeros(256, np.int64)
    counts[[0, 1, 20, 255]] = 900, 40, 30, 30  # Pascal VOC's, of which 255 are the edges
    assert not black_and_white(counts)
    counts[[1, 20, 181]] = 300, 300, 100  # many classes, and some pixels of none
    assert not black_and_white(counts)
    assert not black_and_white(np.eye(256, dtype=np.int64)[0])  # one class
    thin = np.full(256, 10)  # lines that were made smaller: most of them is edges
    thin[[0, 255]] = 3000, 300
    assert black_and_white(thin)


def test_what_cannot_be_segmented_is_one_line(shapes, tmp_path):
    for number in range(10):
        (tmp_path / f"{number}.png").write_bytes(encoded(picture(16, 16, number)))
    with pytest.raises(UsageError, match=r"no training image in .* has a mask \(a_mask.png or a.png beside a.jpg, or"):
        twofold.evaluate(Directions(), tmp_path, "segmentation", size=16)
    for number in range(10):
        (tmp_path / f"{number}_mask.png").write_bytes(encoded(np.full((16, 16), (3, 255)[number % 2], np.uint8)))
    with pytest.raises(UsageError, match="masks have only the value 3 beside 255, which is ignored: there are no two"):
        twofold.evaluate(Directions(), tmp_path, "segmentation", size=16)
    (tmp_path / "3_mask.png").write_bytes(encoded(np.zeros((16, 12), np.uint8)))
    with pytest.raises(UsageError, match=r"the mask of 3\.png has 12 x 16 pixels, the image 16 x 16"):
        twofold.evaluate(Directions(), tmp_path, "segmentation", size=16)
    with pytest.raises(UsageError, match="have no labels"):
        twofold.evaluate(Directions(), shapes, "segmentation,knn", size=64)
    with pytest.raises(UsageError, match="Sequential has no features of patches"):
        twofold.evaluate(nn.Sequential(nn.Flatten()), shapes, "segmentation", size=64)
