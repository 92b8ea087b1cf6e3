"""Where the paths of a table lead, if not into its own folder."""

from pathlib import Path

import pytest

from tests.data.making import fill
from twofold.data.paths import root_of, within
from twofold.errors import UsageError


def test_the_folder_that_has_all_images(tmp_path):
    """If one leads out of the table's folder, wherever in the column. Texts that are no images lead nowhere."""
    fill(tmp_path, ["set/a/1.jpg", "set/b/2.jpg", "here/3.jpg", "elsewhere/4.jpg", "elsewhere/text.txt"])
    here = tmp_path / "here"
    assert root_of(here, ["../set/a/1.jpg"], "t") == tmp_path / "set" / "a"
    assert root_of(here, ["../set/a/1.jpg", "../set/b/2.jpg", "../elsewhere/gone.jpg"], "t") == tmp_path / "set"
    inside = [f"{here}/3.jpg", "3.jpg", "gone.jpg", "\0/\0.jpg"] * 100
    assert root_of(here, [*inside, f"{tmp_path}/set/a/1.jpg"], "t") == tmp_path
    for text in (*inside[:4], "../elsewhere/text.txt", "../elsewhere/gone.jpg", "a" * 5000 + "/1.jpg"):
        assert root_of(here, [text], "t") is None


def test_images_that_only_the_root_has_together_are_refused(tmp_path, monkeypatch):
    fill(tmp_path, ["1.jpg"])
    root = Path(tmp_path.anchor)
    monkeypatch.setattr(Path, "is_file", lambda path: True)
    with pytest.raises(UsageError, match=rf"t names images that no folder has together \(they are in {tmp_path}, /mnt"):
        root_of(tmp_path / "here", [f"{tmp_path}/1.jpg", f"{root}mnt/2.jpg"], "t")


def test_a_path_is_written_as_it_is_from_the_images_folder():
    here, root = Path("/sets/tables"), Path("/sets/images")
    for text in ("../images/a/1.jpg", "/sets/images/a/1.jpg", ".././images/b/../a/1.jpg", "..\\images\\a\\1.jpg"):
        assert within(root, here, text) == "a/1.jpg"
    for text in ("1.jpg", "/other/images/a/1.jpg", "C:\\images\\a\\1.jpg", "yes/no"):
        assert within(root, here, text) == text
    assert within(here, here, "/sets/tables/a/1.jpg") == within(here, here, "./a/1.jpg") == "a/1.jpg"
    assert within(here, here, "a/../1.jpg") == "a/../1.jpg"
