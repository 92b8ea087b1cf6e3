"""Data workers: a streamed run ends at once, in one line, whatever becomes of them, and leaves none behind."""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import twofold
from tests.conftest import encoded, picture, tiny
from tests.watching import alive, wait_for
from twofold.errors import UsageError
from twofold.storage.metrics import read_metrics

ROOT = Path(__file__).parents[2]
SMALL = (
    "--resident no --workers 2 --batch-size 8 --image-size 32 --backbone test_resnet --projector 16 --device cpu "
    "--epochs 100000"
).split()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(24):
        (folder / f"{number}.png").write_bytes(encoded(picture(40, 50, number)))
    return folder


def started(*words, **options):
    """A process of its own session with what it says on stderr; its children are found by that session."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    more = dict(cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen([sys.executable, *map(str, words)], start_new_session=True, **more, **options)


def running(run, out):
    """The workers of a run that has done a few steps."""
    wait_for(lambda: len(read_metrics(out / "metrics.jsonl")) > 3)
    return psutil.Process(run.pid).children()


def ended(run, workers, code=1):
    """What a run that ends by itself says last, its only line that is no note."""
    _, said = run.communicate(timeout=30)
    assert run.returncode == code, said
    assert "Traceback" not in said
    assert not any(alive(worker) for worker in workers)
    assert not left_of(run.pid)
    last = said.splitlines()[-1].lstrip("\x00")  # which torch's own word on a crash ends in
    assert last.startswith("twofold: ")
    return last


def left_of(session):
    """Processes of a session that are still there."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and alive(process):
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_worker_ends_the_run_at_once(number, photos, tmp_path):
    """As the kernel does it where memory is short, or a decoder that crashes."""
    run = started("-m", "twofold", "pretrain", photos, "--out", tmp_path / "run", *SMALL)
    workers = running(run, tmp_path / "run")
    assert len(workers) >= 2
    workers[0].send_signal(number)
    last = ended(run, workers)
    assert "a data worker ended before its time" in last
    assert "the same command goes on from the last checkpoint" in last


@pytest.mark.parametrize("ends", ["raise ValueError('a fault\\nin two lines')", "os._exit(3)"])
def test_a_worker_that_fails_ends_the_run_at_once(ends, tmp_path):
    """A source that gives 60 images and then fails, in a way that is no image's."""
    script = f"""
import os, sys
import numpy as np
from twofold import cli
from twofold.cli import commands
from twofold.data.opening import Data
from twofold.data.sources import Array
from twofold.training.loop import train
from twofold.training.log import terminal

class Images(Array):
    parent, given = os.getpid(), 0
    def image(self, number):
        Images.given += os.getpid() != Images.parent
        if Images.given > 60:
            {ends}
        return super().image(number)

images = Images(np.random.default_rng(0).integers(0, 256, (24, 3, 40, 50), np.uint8))

def pretrain(words):
    train(commands.recipe_of(words, ""), terminal(), Data(images))

commands.COMMANDS["pretrain"] = pretrain
cli.main(["pretrain", "python:Images", *sys.argv[1:]])
"""
    run = started("-c", script, "--out", tmp_path / "run", *SMALL)
    last = ended(run, [])
    assert len(read_metrics(tmp_path / "run" / "metrics.jsonl")) > 3
    if "raise" in ends:
        assert "a data worker failed at step" in last
        assert "ValueError: a fault in two lines" in last
    else:
        assert "exited unexpectedly with exit code 3" in last


def test_a_disk_that_fills_during_a_checkpoint_ends_the_run_at_once(photos, tmp_path):
    """No file may grow beyond 100 kB, which the first checkpoint does."""

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    out = tmp_path / "run"
    words = ("-m", "twofold", "pretrain", photos, "--out", out, *SMALL, "--save-every", "6")
    last = ended(started(*words, preexec_fn=limited), [])
    assert f"{out / 'checkpoint.pt'} cannot be written: File too large" in last
    assert not [path.name for path in out.iterdir() if path.name.endswith(".partial")]
    assert not (out / "checkpoint.pt").exists()
    run = started(*words)  # there is room again
    wait_for((out / "checkpoint.pt").exists)
    os.kill(run.pid, signal.SIGTERM)
    _, said = run.communicate(timeout=30)
    assert "goes on from there" in said


def test_an_interrupt_that_comes_twice_leaves_no_worker(photos, tmp_path):
    run = started("-m", "twofold", "pretrain", photos, "--out", tmp_path / "run", *SMALL)
    workers = running(run, tmp_path / "run")
    for _ in range(2):
        os.kill(run.pid, signal.SIGTERM)
    run.communicate(timeout=30)
    wait_for(lambda: not any(alive(worker) for worker in workers), 5)


def pretrain_in_a_pool(photos, out):
    try:
        twofold.pretrain(quiet=True, **tiny("simclr", data=str(photos), out=out, resident=False, workers=1, epochs=1))
    except UsageError as error:
        return str(error)


def test_a_daemon_starts_no_processes(photos, tmp_path):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        said = pool.apply(pretrain_in_a_pool, (photos, tmp_path / "run"))
    assert said.startswith("this process is a daemon of multiprocessing, which may start no others, and images")
