"""The loader's promises."""

import pytest
import torch

from tests.cli.running import twofold as command
from tests.data.making import Breaking, fill, photos
from twofold.augment import Views
from twofold.data.decoded import decode_all
from twofold.data.loader import Streamed
from twofold.data.plan import MicroBatch, Plan
from twofold.data.resident import Resident
from twofold.errors import UsageError

CPU = torch.device("cpu")


VIEWS = Views(32, small_crops=1, small_size=16)


def parts(steps, rows):
    return [MicroBatch(step, rows) for step in steps]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_whole_view_comes_with_new_images_only(workers):
    source, plan = photos(10), Plan(10, 4, 0)
    views = Views(32, views=1, whole=True)
    decoded = decode_all(source, 2)
    resident = Resident(decoded.images, decoded.sizes, CPU).load(plan, views, parts(range(8), slice(0, 4)))
    streamed = Streamed(source, CPU, workers, 0.1, print).load(plan, views, parts(range(8), slice(0, 4)))
    counts = [(len(one.crops), len(one.draws), len(other.crops)) for one, other in zip(resident, streamed, strict=True)]
    assert counts == [(2, 2, 2) if plan.brings_new(step) else (1, 1, 1) for step in range(8)]
    assert (1, 1, 1) in counts


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_a_second_view_shows_a_neighbour(kind, workers):
    """With the same draws its crop is that of a plan in which the neighbour has the image's place."""
    source, views = photos(12), Views(32, small_crops=1, small_size=16, whole=True)
    table = torch.tensor([[(i + 1) % 12, (i + 5) % 12] for i in range(12)])
    decoded = decode_all(source, 2)
    if kind == "resident":
        images = Resident(decoded.images, decoded.sizes, CPU)
    else:
        images = Streamed(source, CPU, workers, 0.1, print)
    plain, plan = Plan(12, 6, 0), Plan(12, 6, 0, table)
    steps = parts(range(2), slice(0, 6))
    picked = [plan.shown(part) for part in steps]
    for one, other, (index, second) in zip(
        images.load(plain, views, steps), images.load(plan, views, steps), picked, strict=True
    ):
        assert torch.equal(other.index, one.index)
        assert torch.equal(other.index, index)
        assert all(int(b) in table[a] for a, b in zip(index, second, strict=True))
        for number, (a, b) in enumerate(zip(one.crops, other.crops, strict=True)):
            assert torch.equal(a, b) == (number != 1)
    shown = torch.cat([second for _, second in picked])
    assert len({(int(s) - int(i)) % 12 for i, s in zip(torch.cat([i for i, _ in picked]), shown, strict=True)}) == 2
    swapped = next(iter(images.load(_Shown(12, 6, 0, picked[0][1]), views, steps[:1])))
    with_neighbours = next(iter(images.load(plan, views, steps[:1])))
    assert torch.equal(swapped.crops[1], with_neighbours.crops[1])


class _Shown(Plan):
    """A plan with the images of its only step given."""

    def indices(self, step):
        return self.neighbours

    def shown(self, part):
        return self.neighbours[part.rows], self.neighbours[part.rows]


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_a_process_gets_its_rows_of_the_same_batch(kind):
    source, plan = photos(12), Plan(12, 6, 0)

    def load(rows):
        if kind == "streamed":
            return list(Streamed(source, CPU, 0, 0.1, print).load(plan, VIEWS, parts(range(2), rows)))
        decoded = decode_all(source, 2)
        return list(Resident(decoded.images, decoded.sizes, CPU).load(plan, VIEWS, parts(range(2), rows)))

    for whole, half in zip(load(slice(0, 6)), load(slice(3, 6)), strict=True):
        assert torch.equal(whole.index[3:], half.index)
        for a, b in zip(whole.crops, half.crops, strict=True):
            torch.testing.assert_close(a[3:], b)


def test_starting_later_changes_nothing():
    source, plan = photos(12), Plan(12, 6, 0)
    stream = Streamed(source, CPU, 2, 0.1, print)
    all_steps = list(stream.load(plan, VIEWS, parts(range(4), slice(0, 6))))
    later = list(stream.load(plan, VIEWS, parts(range(2, 4), slice(0, 6))))
    for a, b in zip(all_steps[2:], later, strict=True):
        assert torch.equal(a.index, b.index)
        assert all(torch.equal(x, y) for x, y in zip(a.crops, b.crops, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_images_are_replaced_when_streamed(workers):
    said = []
    source = Breaking(photos(10), {3})
    stream = Streamed(source, CPU, workers, 0.1, lambda name, reason: said.append((name, reason)))
    seen = torch.cat([crops.index for crops in stream.load(Plan(10, 5, 0), VIEWS, parts(range(4), slice(0, 5)))])
    assert sorted(seen.tolist()) == sorted([0, 1, 2, 4, 4, 5, 6, 7, 8, 9] * 2)
    assert said == [("row 3", "broken")]  # once, though it was met twice
    stream = Streamed(Breaking(photos(10), {3, 4, 5}), CPU, workers, 0.1, lambda *_: None)
    with pytest.raises(UsageError, match="2 of 10"):
        list(stream.load(Plan(10, 5, 0), VIEWS, parts(range(2), slice(0, 5))))


def test_what_a_streamed_run_left_out_is_said(tmp_path, capsys):
    """On the terminal: the first one with its reason, all of them counted; the log has each."""
    fill(tmp_path / "photos", [f"{number:02}.png" for number in range(32)])
    for number in range(0, 32, 3):
        (tmp_path / "photos" / f"{number:02}.png").write_bytes(b"no image")
    options = (
        "--method simclr --resident no --workers 1 --batch-size 8 --image-size 8 --projector 16 8 --epochs 2 "
        "--backbone-arguments layers [1,1,1,1] channels [8,8,16,16] --max-unreadable 0.5"
    )
    words = ["pretrain", tmp_path / "photos", "--out", tmp_path / "run", *options.split()]
    code, _, said = command(capsys, *words)
    assert code == 0, said
    lines = " ".join(said.split())
    assert lines.count("cannot read ") == 1
    assert "11 of 32 images could not be read, and others stood in for them" in lines
    log = (tmp_path / "run" / "log.txt").read_text()
    assert log.count("cannot read ") == 11
