"""A hub that is not there is said in one line, and the cache is used."""

import socket
import subprocess
import sys
import threading

import pytest

from tests.data.making import parquet
from twofold.data.opening import open_data
from twofold.errors import UsageError


@pytest.fixture
def refusing(monkeypatch, tmp_path):
    """A hub that takes every request and hangs up; how often it was asked."""
    asked = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            asked.append(connection)
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    address = f"http://127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    yield asked
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_it_is_asked_once_and_said_in_a_line(refusing):
    done = subprocess.run(
        [sys.executable, "-m", "twofold", "scan", "hf:nobody/nothing"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("twofold: hf:nobody/nothing cannot be had: ")
    assert done.stderr.count("\n") == 1
    assert 1 <= len(refusing) <= 4


def test_what_is_in_the_cache_is_used(refusing, tmp_path):
    folder = tmp_path / "cache" / "hf" / "datasets--somebody--something"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    parquet(folder / "snapshots" / "abc" / "train-0.parquet", 4)
    assert len(open_data("hf:somebody/something").train) == 4
    with pytest.raises(UsageError, match="hf:somebody/else cannot be had"):
        open_data("hf:somebody/else")
