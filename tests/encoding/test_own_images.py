"""What a run is measured on, if nothing is named: what it learned from, and if that has changed, it is said."""

import dataclasses

import pytest

import twofold
from tests.conftest import tiny
from tests.data.making import fill
from twofold.encoding.own_images import changed, images_for
from twofold.errors import UsageError
from twofold.storage import files

NAMES = [f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(10)]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run on the relative path ``photos``, seen from the folder ``one``."""
    fill(tmp_path / "one" / "photos", NAMES)
    monkeypatch.chdir(tmp_path / "one")
    return twofold.pretrain(quiet=True, **tiny("simclr", data="photos", limit=0, out=tmp_path / "run", epochs=1))


def test_its_own_images(run):
    data = images_for(run, None)
    assert (len(data.train), changed(run, data)) == (20, ())
    assert len(images_for(run, "digits").train) == 1438


def test_images_that_were_replaced_or_added(run, tmp_path, caplog):
    folder = tmp_path / "one" / "photos"
    fill(folder, ["cat/0.png"], size=17)
    said = f"photos may have other images than {run.path} learned from (names, contents or times differ)"
    assert changed(run, images_for(run, None)) == (said,)
    fill(folder, ["cat/more.png"])
    said = f"photos has 21 images, and had 20 when {run.path} began: they may be others"
    assert changed(run, images_for(run, None)) == (said,)
    for measure in (twofold.diagnose, twofold.report):
        caplog.clear()
        measure(run)
        assert caplog.messages.count(said) == 1
        measure(run, data=folder)
        assert sum("they may be others" in message for message in caplog.messages) == 1


def test_a_run_of_an_older_version_is_held_against_what_it_kept(run, tmp_path):
    state = files.load(run.path / "checkpoint.pt")
    del state["data"]["listed"]
    files.save(run.path / "checkpoint.pt", state)
    assert changed(run, images_for(run, None)) == ()
    fill(tmp_path / "one" / "photos", ["cat/more.png"])
    assert changed(run, images_for(run, None))


def test_images_that_cannot_be_read_are_no_others(tmp_path):
    fill(tmp_path / "photos", NAMES)
    (tmp_path / "photos" / "cat" / "0.png").write_bytes(b"cut")
    made = tiny("simclr", data=str(tmp_path / "photos"), limit=0, out=tmp_path / "run", epochs=1)
    run = twofold.pretrain(quiet=True, **{**made, "max_unreadable": 0.1})
    assert changed(run, images_for(run, None)) == ()


def test_another_folder_of_that_name(run, tmp_path, monkeypatch):
    fill(tmp_path / "two" / "photos", [name.replace("0", "x") for name in NAMES])
    monkeypatch.chdir(tmp_path / "two")
    notes = twofold.evaluate(run, protocols="knn")["notes"]
    assert f"photos may have other images than {run.path} learned from (names, contents or times differ)" in notes
    assert not any("learned from" in note for note in twofold.evaluate(run, "photos", protocols="knn")["notes"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"'photos'.*; .*run learned from it, as seen from the folder where it began:"):
        twofold.evaluate(run, protocols="knn")


def test_a_place_that_no_system_has(run, monkeypatch):
    monkeypatch.setattr(type(run), "recipe", dataclasses.replace(run.recipe, data="a" * 300))
    with pytest.raises(UsageError, match=r"a cannot be opened: .*learned from it"):
        images_for(run, None)
