"""One process writes to a folder; nothing is written through links."""

import pytest

from tests.killing import in_a_child
from twofold import locks
from twofold.errors import UsageError


def test_a_folder_is_held_by_one_process(tmp_path, monkeypatch):
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: None)
    folder = tmp_path / "new" / "run"

    def another():
        with locks.held(folder):
            pass

    with locks.held(folder), pytest.raises(UsageError, match="another process is at work"), locks.held(folder):
        pass
    assert in_a_child(another) == 0
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made a folder"), locks.held(tmp_path / "file"):
        pass
