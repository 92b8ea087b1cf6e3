"""One process writes to a folder; nothing is written through links."""

import errno
import fcntl
import os
from contextlib import ExitStack

import pytest

from tests.killing import in_a_child
from twofold.errors import UsageError
from twofold.storage import files, locks


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


def test_a_lock_is_removed_and_who_waited_for_it_has_a_new_one(tmp_path, monkeypatch):
    """The one that waits has opened the file that goes; it must not think that it holds what nobody else can find."""
    lock, first = tmp_path / ".lock", ExitStack()
    first.enter_context(locks.locked(lock, tmp_path))
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: first.close())
    with locks.locked(lock, tmp_path):
        monkeypatch.setattr(locks.time, "sleep", lambda seconds: None)
        assert lock.exists()
        with pytest.raises(UsageError, match="another process"), locks.locked(lock, tmp_path):
            pass
        assert lock.exists()
    assert not lock.exists()


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def unable(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unable)
    with locks.held(tmp_path / "run"):
        pass
    said = f"{tmp_path / 'run'} is on a file system without locks: nothing keeps a second process from"
    assert caplog.text.count(said) == 1


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_a_regular_file_is_written_to(kind, tmp_path):
    path, other = tmp_path / "file", tmp_path / "other"
    other.write_text("kept")
    {"link": lambda: path.symlink_to(other), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    with pytest.raises((UsageError, IsADirectoryError)):
        open(path, "w", opener=files.regular)  # noqa: SIM115 - it is not opened
    assert other.read_text() == "kept"
