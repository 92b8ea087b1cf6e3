"""Each image is opened once before the first step, and what is told of the images is the same all the same."""

from collections import Counter

import numpy as np
import pytest
import torch

import twofold
from tests.conftest import picture, tiny
from tests.data.making import Breaking, Counting, fill, photos
from twofold.augment import Views
from twofold.data import inspection as inspecting
from twofold.data.encoded import Folder
from twofold.data.inspection import Inspection
from twofold.data.objects import source_of
from twofold.data.plan import MicroBatch, Plan
from twofold.data.sources import Subset
from twofold.errors import UsageError
from twofold.evaluation.online import OnlineKNN
from twofold.nets.backbone import BackboneSpec

CPU = torch.device("cpu")


def mixed(count=30):
    return source_of([(picture(20 + number % 7, 30 - number % 5, number), number % 2) for number in range(count)], "it")


def test_an_image_in_memory_is_opened_once():
    source = Counting(mixed())
    inspection = Inspection(source, 2)
    assert inspection.fits_in_memory(8)
    assert inspection.longest_side == 30
    assert len(inspection.statistics[0]) == 3
    spec = BackboneSpec("resnet18", {}, "small", 16, (0.5,) * 3, (0.2,) * 3)
    assert OnlineKNN.of(inspection.readable, spec, CPU, "fp32") is not None
    images = inspection.load(True, CPU, 0)
    next(iter(images.load(Plan(30, 8, 0), Views(16), [MicroBatch(0, slice(0, 8))])))
    assert sorted(source.opened) == list(range(30))


def test_decoded_or_not_the_same_is_told(monkeypatch):
    """Of a sample that is smaller than the whole, with images in it that cannot be read; and by hand."""
    monkeypatch.setattr(inspecting, "SAMPLE", 20)
    source = Breaking(mixed(), {0, 5, 11, 29})
    first, second = Inspection(source, 2), Inspection(source, 2)
    first.decode()
    assert first.statistics == second.statistics
    assert first.longest_side == second.longest_side
    sampled = [n for n in inspecting.sample(source, 20).indices if n not in source.broken]
    assert 15 < len(sampled) < 20
    means = np.mean([source.image(number).mean((1, 2)) / 255 for number in sampled], axis=0)
    assert np.allclose(first.statistics[0], means, atol=1e-4)


def test_a_sample_is_enough_where_images_do_not_stay_in_memory(monkeypatch):
    monkeypatch.setattr(inspecting, "SAMPLE", 20)
    source = Counting(mixed())
    inspection = Inspection(source, 2)
    assert inspection.longest_side == 30
    assert inspection.statistics[1][0] > 0
    assert len(source.opened) == 20
    assert inspection.readable is source


def test_unreadable_images_are_left_out_and_told_once():
    said = []
    source = Breaking(photos(10), {3, 7})
    inspection = Inspection(source, 2, 0.2, lambda name, reason: said.append((name, reason)))
    assert inspection.fits_in_memory(4)
    assert len(inspection.load(True, CPU, 0)) == len(inspection.readable) == 8
    assert said == [("row 3", "broken"), ("row 7", "broken")]
    with pytest.raises(UsageError, match="2 of 10"):
        Inspection(source, 2, 0.1).decode()
    with pytest.raises(UsageError, match="not one of 10 images tried"):
        Inspection(Breaking(photos(10), set(range(10))), 2).statistics  # noqa: B018


def test_large_sets_are_not_kept_in_memory(monkeypatch):
    source = Subset(photos(10, 100, 100), range(10))
    decoded = Inspection(source, 2)
    assert decoded.fits_in_memory(8)
    monkeypatch.setattr(inspecting, "RESIDENT_BYTES", 10 * 3 * 100 * 100 - 1)
    assert not Inspection(source, 2).fits_in_memory(8)
    assert not decoded.fits_in_memory(8)
    monkeypatch.undo()
    monkeypatch.setattr(inspecting, "BATCH_BYTES", 5 * 8 * 3 * 100 * 100 - 1)
    assert not Inspection(source, 2).fits_in_memory(8)
    assert Inspection(source, 2).fits_in_memory(7)


@pytest.fixture
def opened(monkeypatch):
    """Counts how often each image file in folders is opened."""
    count = Counter()
    read = Folder.read

    def counted(self, index):
        count[self.paths[index]] += 1
        return read(self, index)

    monkeypatch.setattr(Folder, "read", counted)
    return count


def test_commands_open_each_file_once(opened, tmp_path):
    """`evaluate` opens them once before, to see whether it has features of them already: all, as they are small."""
    fill(tmp_path / "photos", [f"{'ab'[n % 2]}/{n:02}.png" for n in range(80)])
    settings = {**tiny("simclr", epochs=1), "data": str(tmp_path / "photos")}
    run = twofold.pretrain(out=tmp_path / "run", quiet=True, **settings)
    assert (len(opened), opened.total()) == (80, 80)
    opened.clear()
    twofold.evaluate(run, protocols="knn")
    assert (len(opened), opened.total()) == (80, 80 + 80)
