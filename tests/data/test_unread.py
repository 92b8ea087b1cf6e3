"""Pictures in formats that are not read are counted aloud."""

import pytest

import twofold
from tests.cli.running import twofold as command
from tests.conftest import tiny
from tests.data.making import fill
from twofold.data.opening import open_data
from twofold.errors import UsageError

SAID = "3 .heic and 1 .dng files were passed over: convert them to JPEG, PNG or TIFF"


def photographs(root):
    fill(root, [f"{number}.png" for number in range(8)])
    for name in ("a.HEIC", "deep/b.heic", "c.heic", "d.dng", "._a.heic", "notes.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"....ftypheic")
    return root


def test_a_folder_counts_the_pictures_that_it_passes_over(tmp_path, capsys):
    data = open_data(photographs(tmp_path / "photos"))
    assert len(data.train) == 8
    assert data.notes == (SAID,)
    code, out, _ = command(capsys, "scan", str(tmp_path / "photos"))
    assert code == 0
    assert SAID in out.splitlines()


def test_both_parts_are_counted_in_one_sentence(tmp_path):
    for part, files in (("train", ["a.heic", "b.heic"]), ("test", ["c.heic"])):
        fill(tmp_path / part, ["x.png"])
        for name in files:
            (tmp_path / part / name).write_bytes(b"x")
    assert open_data(tmp_path).notes == ("3 .heic files were passed over: convert them to JPEG, PNG or TIFF",)


def test_a_folder_of_nothing_else_says_what_it_holds(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"x")
    with pytest.raises(
        UsageError, match=r"no images in .*; 1 .heic file was passed over: convert it to JPEG, PNG or TIFF"
    ):
        open_data(tmp_path)


def test_a_run_and_its_vectors_say_so(tmp_path, capsys):
    photos = photographs(tmp_path / "photos")
    run = twofold.pretrain(
        out=tmp_path / "run", quiet=True, **tiny("simclr", data=str(photos), limit=0, epochs=1, batch_size=8)
    )
    assert SAID in (run.path / "log.txt").read_text()
    code, out, _ = command(capsys, "embed", str(run.path), str(photos), "--out", str(tmp_path / "v.parquet"))
    assert code == 0
    assert SAID in out.splitlines()


def test_of_videos_the_frames_are_images(tmp_path):
    fill(tmp_path, ["a.png"])
    (tmp_path / "b.MP4").write_bytes(b"....ftypisom")
    said = "1 .mp4 file was passed over: convert it to JPEG, PNG or TIFF, of videos the frames"
    assert open_data(tmp_path).notes == (said,)
