"""A run killed at any moment and resumed ends bit-identical to one that never stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import encoded, picture
from tests.training.making import assert_identical
from tests.watching import alive, wait_for
from twofold.recipe.declared import methods
from twofold.storage import files
from twofold.storage.metrics import read_metrics

ROOT = Path(__file__).parents[2]
CLOCKS = ("images_per_second", "waiting")


STATEFUL = ("moco", "pirl", "swav", "dino", "distill")
"""Methods with a queue, a bank, prototypes, a center, a teacher: killed by default. The battery holds every state."""


def kill(root, *words):
    """What became of the runs of methods that were killed; see kill_driver."""
    command = [sys.executable, "-m", "tests.training.kill_driver", root, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["method"]: line["codes"] for line in lines}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Runs killed at a random step; MoCo's, with most state, at exact places too."""
    root = tmp_path_factory.mktemp("kill")
    return root, kill(root, "moco", "every moment") | kill(root, ",".join(set(STATEFUL) - {"moco"}))


@pytest.mark.parametrize("method", STATEFUL)
def test_killed_and_resumed_is_bit_identical(method, killed):
    check_killed(method, *killed)


@pytest.mark.slow
def test_so_are_all_others(tmp_path):
    others = [name for name in methods() if name not in STATEFUL]
    codes = kill(tmp_path, ",".join(others))
    for method in others:
        check_killed(method, tmp_path, codes)


def check_killed(method, root, codes):
    root, codes = root / method, codes[method]
    for name, code in codes.items():
        survived = name == "straight" or name.endswith("resumed")
        assert code == (0 if survived else -signal.SIGKILL), name
    expected = files.load(root / "straight" / "checkpoint.pt")
    rows = metrics(root / "straight")
    assert [row["step"] for row in rows] == list(range(12))
    runs = [path for path in root.iterdir() if path.name != "straight"]
    assert len(runs) == (9 if method == "moco" else 1)
    for run in runs:
        state = files.load(run / "checkpoint.pt")
        assert state["step"] == 12
        for part in ("method", "optimizer"):
            assert_identical(state[part], expected[part], run.name)
        assert metrics(run) == rows, run.name
        ours, theirs = ((path / "backbone.safetensors").read_bytes() for path in (run, root / "straight"))
        assert ours == theirs


def metrics(path):
    return [{k: v for k, v in row.items() if k not in CLOCKS} for row in read_metrics(path / "metrics.jsonl")]


def start(folder, out, *words):
    command = [
        sys.executable,
        "-m",
        "twofold",
        "pretrain",
        folder,
        "--out",
        out,
        "--resident",
        "no",
        "--batch-size",
        "8",
    ]
    small = [
        "--backbone",
        "test_resnet",
        "--projector",
        "16",
        "--image-size",
        "32",
        "--workers",
        "2",
        "--device",
        "cpu",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    options = dict(cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    return subprocess.Popen([*command, *small, *words], **options)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(24):
        (folder / f"{number}.png").write_bytes(encoded(picture(40, 50, number)))
    return folder


def test_workers_do_not_outlive_a_killed_parent(photos, tmp_path):
    run = start(photos, tmp_path / "run", "--epochs", "100000")
    wait_for(lambda: len(read_metrics(tmp_path / "run" / "metrics.jsonl")) > 3)
    workers = psutil.Process(run.pid).children()
    assert len(workers) >= 2
    run.kill()
    run.communicate()
    wait_for(lambda: not any(alive(worker) for worker in workers), 5)


@pytest.mark.parametrize(("number", "times"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGTERM, 2)])
def test_an_interrupt_ends_a_run_after_a_checkpoint(number, times, photos, tmp_path, monkeypatch):
    """Under torchrun also one that comes twice, as from Slurm and from torchrun itself."""
    if times == 2:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "7")
    run = start(photos, tmp_path / "run", "--epochs", "100000")
    wait_for(lambda: len(read_metrics(tmp_path / "run" / "metrics.jsonl")) > 3)
    for _ in range(times):
        os.killpg(run.pid, number)  # as a terminal or a job scheduler does: to the workers as well
        time.sleep(0.05)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "Traceback" not in said
    assert "goes on from there" in said
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert files.load(tmp_path / "run" / "checkpoint.pt")["step"] == len(rows)


def test_a_streamed_run_resumes_to_the_bit(photos, tmp_path):
    """Crops made in worker processes are the same after a resume."""
    words = ("--epochs", "30", "--save-every", "4")
    start(photos, tmp_path / "straight", *words).communicate()
    run = start(photos, tmp_path / "killed", *words)
    wait_for(lambda: (tmp_path / "killed" / "checkpoint.pt").exists())
    run.kill()
    run.communicate()
    assert len(metrics(tmp_path / "killed")) < 90
    start(photos, tmp_path / "killed", *words).communicate()
    assert len(metrics(tmp_path / "killed")) == 90
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "straight")
