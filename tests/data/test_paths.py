"""Where the rows of a table lead, if not into its own folder."""

from pathlib import Path

import pytest

from tests.data.making import fill
from twofold.data.paths import outside, within
from twofold.errors import UsageError


def test_the_folder_that_has_all_images(tmp_path):
    """Of all columns that lead out of the table's folder; not of texts that are no paths of images that are there."""
    fill(tmp_path, ["set/a/1.jpg", "set/b/2.jpg", "here/3.jpg", "elsewhere/4.jpg", "elsewhere/text.txt"])
    here = tmp_path / "here"
    rows = [["../set/a/1.jpg", "x"], ["../set/b/2.jpg", "../elsewhere/gone.jpg"], [f"{here}/3.jpg", "\0/\0.jpg"]]
    assert outside(here, rows[:1], "t") == tmp_path / "set" / "a"
    assert outside(here, rows[:2], "t") == tmp_path / "set"
    assert outside(here, rows, "t") == tmp_path
    for text in (f"{here}/3.jpg", "3.jpg", "../elsewhere/text.txt", "../elsewhere/gone.jpg", "a" * 5000 + "/1.jpg"):
        assert outside(here, [[text]], "t") is None


def test_images_that_only_the_root_has_together_are_refused(tmp_path, monkeypatch):
    fill(tmp_path, ["1.jpg"])
    root = Path(tmp_path.anchor)
    monkeypatch.setattr(Path, "is_file", lambda path: True)
    with pytest.raises(UsageError, match=rf"t names images that no folder has together \(they are in {tmp_path}, /mnt"):
        outside(tmp_path / "here", [[f"{tmp_path}/1.jpg"], [f"{root}mnt/2.jpg"]], "t")


def test_a_path_is_written_as_it_is_from_the_images_folder():
    here, root = Path("/sets/tables"), Path("/sets/images")
    for text in ("../images/a/1.jpg", "/sets/images/a/1.jpg", ".././images/b/../a/1.jpg", "..\\images\\a\\1.jpg"):
        assert within(root, here, text) == "a/1.jpg"
    for text in ("1.jpg", "/other/images/a/1.jpg", "../images/a", "C:\\images\\a\\1.jpg", "yes/no"):
        assert within(root, here, text) == text
