"""The processes of a launch end together, and a run goes on with another number of them."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.killing import KILLED, at_call
from tests.together import command, commanded, compare, together
from tests.training.making import assert_identical
from twofold.diagnosis.doctor import Finding
from twofold.diagnosis.live import Watch
from twofold.run import Run
from twofold.storage import files
from twofold.training.opened import OpenRun

ROOT = Path(__file__).parents[1]

WORDS = (
    "pretrain digits --backbone resnet18 --limit 64 --batch-size 32 --epochs 4 --flip 0 --precision fp64 --knn-every 0 "
    "--save-every 1 --device cpu --projector 32 16 --backbone-arguments layers [1,1,1,1] channels [8,8,16,16] "
    "zero_init_last false"
).split()


def fill_the_disk(rank):
    """The second checkpoint finds no room."""
    if rank == 0:
        at_call(torch, "save", 2, full)


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def kill_at_the_fourth_step(rank):
    if rank == 1:
        at_call(OpenRun, "rates", 4)


def find_something(rank):
    """Only the first process looks for what is wrong."""
    if rank == 0:
        finding = Finding("dimensional collapse", 1, "few directions", "the method", "another one")
        Watch.look = lambda self, row, method, output: [finding] if row["step"] == 2 else []


def ended(out, *words, prepare=None):
    """The codes of two processes, and the one line that they end with."""
    codes, said, _ = commanded(2, [*WORDS, "--out", out, *words], prepare)
    assert len(said) == 1
    return codes, said[0]


def test_a_full_disk_of_the_first_process_ends_all(tmp_path):
    codes, said = ended(tmp_path, prepare=fill_the_disk)
    assert codes == [1, 1]
    assert "checkpoint.pt cannot be written: No space left on device" in said


def test_a_loss_that_is_no_number_ends_all(tmp_path):
    codes, said = ended(tmp_path, "--lr", "1e300")
    assert codes == [3, 3]
    assert "failure.pt holds its terms" in said


def test_a_collapse_ends_all(tmp_path):
    codes, said = ended(tmp_path, "--on-collapse", "stop", prepare=find_something)
    assert codes == [3, 3]
    assert "stopped at step 3 of 8: dimensional collapse" in said
    assert Run(tmp_path).metrics[-1]["step"] == 2


def test_a_killed_process_ends_the_others(tmp_path):
    codes, found = together(2, command, [*WORDS, "--out", tmp_path], kill_at_the_fourth_step)
    assert codes == [0, KILLED]
    assert found[0][:2] == (1, ["twofold: another process has ended, or does not answer"])


def weights_of(out):
    return load_file(out / "backbone.safetensors")


def test_a_run_goes_on_with_fewer_processes(tmp_path):
    """Four, of which one is killed, then two, then one: what comes out is what one process makes without a stop."""
    commanded(1, [*WORDS, "--out", tmp_path / "one"])
    codes, _ = together(4, command, [*WORDS, "--out", tmp_path / "many"], kill_at_the_fourth_step)
    assert codes == [0, KILLED, 0, 0]
    together(2, command, [*WORDS, "--out", tmp_path / "many"], kill_at_the_fourth_step)
    assert len(Run(tmp_path / "many").metrics) == 6
    assert commanded(1, [*WORDS, "--out", tmp_path / "many"])[0] == [0]
    compare(weights_of(tmp_path / "many"), weights_of(tmp_path / "one"))
    losses = [[row["loss"] for row in Run(tmp_path / name).metrics] for name in ("many", "one")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


RESTARTED = """
import os, signal, sys
from twofold import cli
from twofold.training.opened import OpenRun

rates, calls = OpenRun.rates, []

def counted(self, step):
    calls.append(step)
    first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and os.environ["RANK"] == "1"
    if first and len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return rates(self, step)

OpenRun.rates = counted
cli.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_torchrun_restarts_a_run_whose_worker_was_killed(tmp_path):
    """To the bit what two processes make that nobody kills."""
    (tmp_path / "driver.py").write_text(RESTARTED)
    launch = "-m torch.distributed.run --standalone --nproc-per-node 2 --max-restarts 2".split()
    for name, killed in (("killed", [tmp_path / "driver.py"]), ("whole", ["-m", "twofold"])):
        words = [sys.executable, *launch, *killed, *WORDS, "--out", tmp_path / name]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert "goes on at step 3 of 8" in (tmp_path / "killed" / "log.txt").read_text()
    ours, theirs = (files.load(tmp_path / name / "checkpoint.pt") for name in ("killed", "whole"))
    for part in ("method", "optimizer"):
        assert_identical(ours[part], theirs[part], part)
