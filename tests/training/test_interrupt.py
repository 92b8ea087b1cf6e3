"""A signal ends the preparation of a run at once, and its training between two steps."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import encoded
from twofold.storage import files
from twofold.storage.metrics import read_metrics
from twofold.training.interrupt import Interrupt


@pytest.fixture(autouse=True)
def _heard():
    """Signals as a job in the foreground of a terminal gets them: nohup and shells' background jobs ignore some."""
    before = [signal.getsignal(each) for each in Interrupt.SIGNALS]
    for each in Interrupt.SIGNALS:
        signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)
    yield
    for each, handler in zip(Interrupt.SIGNALS, before, strict=True):
        signal.signal(each, handler)


@pytest.mark.parametrize("number", Interrupt.SIGNALS)
def test_between_steps_the_first_signal_asks_and_handlers_come_back(number):
    before = [signal.getsignal(each) for each in Interrupt.SIGNALS]
    with Interrupt() as interrupt:
        interrupt.between_steps()
        assert not interrupt.asked
        os.kill(os.getpid(), number)
        assert interrupt.asked
    assert [signal.getsignal(each) for each in Interrupt.SIGNALS] == before


@pytest.mark.parametrize("number", Interrupt.SIGNALS)
def test_before_the_first_step_it_ends_the_block(number):
    before = [signal.getsignal(each) for each in Interrupt.SIGNALS]
    with pytest.raises(KeyboardInterrupt), Interrupt():
        os.kill(os.getpid(), number)
    assert [signal.getsignal(each) for each in Interrupt.SIGNALS] == before


def test_one_that_was_lost_is_found_before_the_first_step():
    with Interrupt() as interrupt:
        with contextlib.suppress(KeyboardInterrupt):  # as a finaliser does
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            interrupt.between_steps()


def asked_twice():
    with Interrupt() as interrupt:
        interrupt.between_steps()
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.asked
        os.kill(os.getpid(), signal.SIGINT)


def test_a_second_one_ends_the_block():
    with pytest.raises(KeyboardInterrupt):
        asked_twice()


def test_under_torchrun_a_second_one_is_the_same_request(monkeypatch):
    """As from Slurm, which tells all processes, and from torchrun, which passes it on."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "7")
    asked_twice()


def test_under_torchrun_what_is_being_tidied_up_is_not_interrupted_again(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "7")
    tidied = []

    def interrupted():
        with Interrupt():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                tidied.append(True)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert tidied


def test_nohup_is_respected():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupt.asked
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_thread_may_train_too():
    """Where Python allows no handlers, nothing is asked and nothing fails."""
    found = []

    def work():
        with Interrupt() as interrupt:
            interrupt.between_steps()
            found.append(interrupt.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


TINY = (
    "--method simclr --batch-size 8 --projector 16 8 --precision fp32 --workers 1 "
    "--backbone-arguments layers [1,1,1,1] channels [8,8,16,16]"
).split()

TELLING = """
import sys
from twofold.cli.entry import main
from twofold.data.encoded import Folder

read, count = Folder.read, [0]

def told(self, index):
    count[0] += 1
    print("READ", count[0], file=sys.stderr, flush=True)
    return read(self, index)

Folder.read = told
main(sys.argv[1:])
"""
"""A command that says when it reads a file."""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """300 images of nine million pixels each, a minute of decoding, by the names of one file."""
    folder = tmp_path_factory.mktemp("large") / "photos"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    (folder / "0.png").write_bytes(encoded(np.tile(noise, (10, 10, 1)), compress_level=1))
    for number in range(1, 300):
        (folder / f"{number}.png").hardlink_to(folder / "0.png")
    return folder


@pytest.mark.parametrize("resident", ["yes", "none"])
def test_sigterm_ends_decoding_and_statistics(large, tmp_path, resident):
    """Into memory, or of 500 images for their statistics."""
    words = ["pretrain", large, "--out", tmp_path / "run", "--resident", resident, *TINY]
    process = subprocess.Popen([sys.executable, "-c", TELLING, *words], stderr=subprocess.PIPE, text=True)
    assert process.stderr
    for line in process.stderr:
        if line == "READ 4\n":
            break
    process.terminate()
    _, said = process.communicate(timeout=10)
    assert process.returncode == 1
    assert [line for line in said.splitlines() if not line.startswith("READ")] == []
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_sigterm_ends_the_search_for_neighbours(large, finished, tmp_path):
    fewer = tmp_path / "photos"
    fewer.mkdir()
    for number in range(24):
        (fewer / f"{number}.png").hardlink_to(large / "0.png")
    words = ["pretrain", fewer, "--out", tmp_path / "run", "--weights", finished.path, "--neighbours", "2", *TINY]
    process = subprocess.Popen([sys.executable, "-c", TELLING, *words], stderr=subprocess.PIPE, text=True)
    assert process.stderr
    for line in process.stderr:
        if "nearest neighbours" in line:
            break
    process.terminate()
    _, said = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "Traceback" not in said


def test_a_terminal_that_is_closed_leaves_a_checkpoint(tmp_path):
    """Its end is SIGHUP, and from then on nothing can be shown."""
    words = ["pretrain", "digits", "--limit", "64", "--epochs", "100000", "--out", str(tmp_path / "run"), *TINY]
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which whoever started the tests may have had ignored, by nohup
        os.environ.pop("PYTHONUNBUFFERED", None)  # what is held back is what cannot be shown at the end
        os.execv(sys.executable, [sys.executable, "-m", "twofold", *words])
    metrics = tmp_path / "run" / "metrics.jsonl"
    while len(read_metrics(metrics)) < 4:
        assert os.read(terminal, 65536)  # what is shown is taken, and a run that has ended fails here
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    rows = read_metrics(metrics)
    assert len(rows) >= 4
    assert files.load(tmp_path / "run" / "checkpoint.pt")["step"] == len(rows)
    assert "goes on from there" in Path(tmp_path / "run" / "log.txt").read_text()
