"""A run that goes on under another version says so, and whether its result can differ."""

import twofold
from tests.conftest import tiny
from twofold.recipe import version
from twofold.storage import files


def test_what_is_said_of_versions():
    assert version.note(version.VERSION) == []
    (said,) = version.note("0.3.9", "0.4.1")
    assert "begun with twofold 0.3.9, goes on with 0.4.1" in said
    assert "since 0.4.0, so the result may differ" in said
    (said,) = version.note("0.4.0", "0.4.7")
    assert "the result does not differ" in said
    (said,) = version.note("0.4.7", "0.3.0")
    assert "may differ" in said
    assert "no recorded version" in version.note("")[0]


def test_recipe_and_checkpoint_record_it_and_a_resume_compares(tmp_path):
    settings = tiny("simclr", epochs=2, limit=64, save_every=1)
    run = twofold.pretrain(out=tmp_path / "run", quiet=True, **settings)
    assert f'twofold = "{version.VERSION}"' in (tmp_path / "run" / "recipe.toml").read_text()
    assert run.version == version.VERSION
    state = files.load(tmp_path / "run" / "checkpoint.pt")
    assert state["version"] == version.VERSION
    files.save(tmp_path / "run" / "checkpoint.pt", state | {"version": "0.3.0"})
    twofold.pretrain(out=tmp_path / "run", quiet=True, **settings)
    assert "begun with twofold 0.3.0" in (tmp_path / "run" / "log.txt").read_text()
