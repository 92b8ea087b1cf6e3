"""Folders, tar shards, Parquet: what is read, and what tells it from other data."""

import gc
import os
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.running import twofold as command
from tests.conftest import encoded, picture
from tests.data.making import fill
from twofold.data.encoded import EncodedSource, Folder
from twofold.data.opening import open_data
from twofold.data.scan import scan


def test_names_need_not_be_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).write_bytes(b"no image")
    assert scan(tmp_path)["train"].bad[0][0].encode("utf-8").startswith(b"caf")


def test_fingerprints_see_contents(tmp_path):
    """Uncompressed images of one size have files of one size."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.bmp").write_bytes(encoded(picture(8, 8, ord(folder)), "BMP"))
    first, second = (open_data(tmp_path / folder).train.fingerprint() for folder in ("a", "b"))
    assert first != second


def test_a_fingerprint_changes_with_the_data(tmp_path):
    fill(tmp_path, ["a.png", "b.png"])
    before = open_data(tmp_path).train.fingerprint()
    assert open_data(tmp_path).train.fingerprint() == before
    fill(tmp_path, ["c.png"])
    assert open_data(tmp_path).train.fingerprint() != before


def test_fingerprints_of_many_files_see_times(tmp_path, monkeypatch):
    """Where contents are too many to be looked at: here, of the second of three files of the same size."""
    monkeypatch.setattr("twofold.data.encoded.WHOLE", 0)
    monkeypatch.setattr(np, "linspace", lambda *_: np.array([0]))  # the contents of the first one count
    for seed in range(3):
        (tmp_path / f"{seed}.bmp").write_bytes(encoded(picture(8, 8, seed), "BMP"))
    before = open_data(tmp_path).train.fingerprint()
    assert open_data(tmp_path).train.fingerprint() == before
    (tmp_path / "1.bmp").write_bytes(encoded(picture(8, 8, 9), "BMP"))
    assert open_data(tmp_path).train.fingerprint() != before


def test_fingerprints_of_few_files_see_every_content_and_no_time(tmp_path):
    for seed in range(80):
        (tmp_path / f"{seed:02}.bmp").write_bytes(encoded(picture(4, 4, seed), "BMP"))
    before = open_data(tmp_path).train.fingerprint()
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    assert open_data(tmp_path).train.fingerprint() == before
    seen = set()
    for seed in range(80):
        old = (tmp_path / f"{seed:02}.bmp").read_bytes()
        (tmp_path / f"{seed:02}.bmp").write_bytes(encoded(picture(4, 4, 99), "BMP"))
        seen.add(open_data(tmp_path).train.fingerprint())
        (tmp_path / f"{seed:02}.bmp").write_bytes(old)
    assert len(seen | {before}) == 81


@pytest.fixture
def closed(tmp_path):
    """A folder of pictures with one that this process may not look into."""
    yield from closing(tmp_path, ["a.png", "closed/b.png"], ["closed"])


def closing(tmp_path, names, folders):
    fill(tmp_path / "photos", names)
    root = os.geteuid() == 0  # who may look anywhere, but not under another name
    ours = [path for path in (tmp_path, *tmp_path.parents) if "pytest-" in str(path)]
    for path in ours if root else []:
        path.chmod(0o755)
    for name in folders:
        (tmp_path / "photos" / name).chmod(0)
    if root:
        os.seteuid(65534)
    yield tmp_path / "photos"
    if root:
        os.seteuid(0)
    for name in folders:
        (tmp_path / "photos" / name).chmod(0o755)


def test_a_folder_that_cannot_be_looked_into_is_said(closed, capsys):
    data = open_data(closed)
    assert len(data.train) == 1
    said = f"1 folder cannot be looked into, and what is there is left out: {closed / 'closed'}: Permission denied"
    assert data.notes == (said,)
    code, out, _ = command(capsys, "scan", closed)
    assert (code, said in out.splitlines()) == (0, True)


def test_a_folder_of_many_takes_the_bytes_of_its_names_and_sixteen_each(monkeypatch, tmp_path):
    """The files are not there; a list of their names would take some 100 bytes more for each, in every worker."""
    count = 20_000
    names = [f"n{number % 100:08}/n{number % 100:08}_{number:09}.JPEG" for number in range(count)]
    monkeypatch.setattr("twofold.data.encoded.files_under", lambda root, *_: (root / name for name in names))
    # Python's table of what pathlib interns would grow, by megabytes at once, were it not as large already.
    parts = [sys.intern(part) for name in names for part in name.split("/")]
    Folder(tmp_path)  # what libraries keep once
    gc.collect()
    tracemalloc.start(50)
    folder = Folder(tmp_path)
    gc.collect()
    here = tracemalloc.Filter(True, __file__, all_frames=True)  # other threads have memory of their own
    snapshot = tracemalloc.take_snapshot().filter_traces([here])
    tracemalloc.stop()
    taken = sum(trace.size for trace in snapshot.traces)
    assert taken < count * (len(names[0]) + 8 + 8) + 100_000
    assert len(parts) == 2 * count
    assert [folder.name(number) for number in range(count)] == sorted(names)
    assert [folder.classes[label] for label in folder.labels] == [name[:9] for name in sorted(names)]


@pytest.fixture
def closed_beside(tmp_path):
    """Parts for training and testing, with a folder beside them, and one in the training part, that are closed."""
    yield from closing(tmp_path, ["train/a.png", "train/no/b.png", "test/c.png", "other/d.png"], ["train/no", "other"])


def test_a_closed_folder_beside_the_parts_is_said_too(closed_beside, capsys):
    code, out, _ = command(capsys, "scan", closed_beside)
    assert code == 0
    for folder in ("other", "train/no"):
        said = f"1 folder cannot be looked into, and what is there is left out: {closed_beside / folder}: Permission"
        assert out.count(said) == 1


class InMemory(EncodedSource):
    """Files by their names, as they are given."""

    def __init__(self, files):
        self.files = files

    def __len__(self):
        return len(self.files)

    def read(self, index):
        return self.files[index][1]

    def compute_fingerprint(self):
        names, contents = zip(*self.files, strict=True)
        return self.digest_of(names, map(len, contents))


FILES = st.lists(st.tuples(st.text("a'/\\, 1", max_size=3), st.binary(min_size=1, max_size=3)), min_size=1, max_size=4)


@given(FILES, FILES, st.data())
def test_a_fingerprint_is_that_of_the_same_files_alone(files, others, data):
    """In the same order, under the same names, with the same contents; any difference makes another one."""
    nearly = [[*map(list, files)], others, files[::-1], files[1:] or others, [*files, *others]]
    number, place = data.draw(st.integers(0, len(files) - 1)), data.draw(st.integers(0, 7))
    name, content = files[number]
    flipped = bytes([content[0] ^ 1 << place]) + content[1:]
    nearly.append([*files[:number], (name, flipped), *files[number + 1 :]])
    ours = InMemory(files).fingerprint()
    for each in nearly:
        same = [tuple(file) for file in each] == files
        assert (InMemory(each).fingerprint() == ours) == same
