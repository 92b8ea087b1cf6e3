"""A disk that is full, a folder that is read-only: one line that names the file, exit code 1 or 2, nothing lost."""

import os
import resource
import shutil
import subprocess
import sys

import pytest
import torch

from tests.cli.running import twofold as command
from tests.killing import in_a_child
from twofold.errors import Failed
from twofold.outputs import vectors
from twofold.storage import files

WORDS = (
    "pretrain digits --backbone resnet18 --limit 256 --batch-size 64 --epochs 2 --flip 0 --precision fp32 "
    "--knn-every 0 --projector 32 16 --backbone-arguments layers [1,1,1,1] channels [8,8,16,16] zero_init_last false"
).split()
WRITING = {
    "embed .npy": ["embed", "RUN", "digits", "--out", "PLACE/v.npy"],
    "embed .parquet": ["embed", "RUN", "digits", "--out", "PLACE/v.parquet"],
    "export": ["export", "RUN", "--out", "PLACE/w.safetensors"],
    "export onnx": ["export", "RUN", "--format", "onnx", "--out", "PLACE/w.onnx"],
    "pretrain": [*WORDS, "--out", "PLACE/run"],
}


@pytest.fixture
def place(tmp_path):
    """A file system of its own of 64 KiB, and how it is made read-only."""
    folder = tmp_path / "place"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if done.returncode:
        pytest.skip("a small file system can be mounted by the superuser only")
    yield folder
    subprocess.run(["umount", folder], check=True)


def said_of(capsys, words, run, place):
    code, _, said = command(capsys, *(word.replace("RUN", str(run)).replace("PLACE", str(place)) for word in words))
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("twofold: ")]
    assert lines == said.splitlines()[-1:]
    return code, lines[0]


@pytest.mark.parametrize("name", WRITING)
def test_a_full_disk_is_said(name, place, finished, capsys):
    """Really full: a file system of 64 KiB; the vectors, the weights and the checkpoint are larger."""
    code, said = said_of(capsys, WRITING[name], finished.path, place)
    assert code == 1
    assert f"{place}/" in said
    assert "cannot be written: No space left on device; make room there and give the command again" in said
    left = [path.name for path in place.rglob("*") if path.is_file() and path.name.endswith((".partial", ".onnx"))]
    assert left == []


@pytest.mark.parametrize("name", WRITING)
def test_a_read_only_folder_is_said(name, place, finished, capsys):
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    code, said = said_of(capsys, WRITING[name], finished.path, place)
    assert code in (1, 2)
    assert f"{place}/" in said
    assert "Read-only file system; choose a place that can be written to" in said


@pytest.mark.parametrize("name", ["evaluate", "diagnose", "report"])
def test_a_run_on_a_full_disk_is_said_by_what_measures_it(name, tmp_path, finished, capsys):
    """No file may grow beyond a limit that what they write passes."""
    shutil.copytree(finished.path, tmp_path / "run")
    words = {
        "evaluate": ["evaluate", "RUN", "--protocols", "knn"],
        "diagnose": ["diagnose", "RUN", "--images", "30"],
        "report": ["report", "RUN", "--points", "20"],
    }[name]

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        code, said = said_of(capsys, words, tmp_path / "run", tmp_path)
        assert code == 1
        assert f"{tmp_path / 'run'}/" in said
        assert "cannot be written: File too large" in said

    assert in_a_child(limited) == 0


def writers(path):
    return {
        "text": lambda: files.write_text(path, "x" * 10_000_000),
        "state": lambda: files.save(path, {"x": torch.zeros(10_000_000)}),
        "tensors": lambda: files.save_tensors(path, {"x": torch.zeros(10_000_000)}),
    }


@pytest.mark.parametrize("kind", ["text", "state", "tensors"])
def test_what_stood_there_stays(kind, tmp_path):
    """Whatever writes: the old file is whole, nothing is left beside it, and the system's own words are said."""
    path = tmp_path / "file"
    path.write_text("old")

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        with pytest.raises(Failed, match=r"file cannot be written: File too large; permit larger files"):
            writers(path)[kind]()

    assert in_a_child(limited) == 0
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_while_metrics_are_written(tmp_path):
    """The run ends with the file's name, and goes on when there is room."""
    words = [sys.executable, "-m", "twofold", *WORDS, "--out", tmp_path / "run", "--epochs", "20", "--save-every", "8"]

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=environment, preexec_fn=limited, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert "cannot be written: File too large" in last
    assert "metrics.jsonl" in last or "checkpoint.pt" in last


def test_vectors_are_whole_or_not_there(place, finished, capsys):
    said_of(capsys, WRITING["embed .npy"], finished.path, place)
    assert vectors.record_of(place / "v.npy") is None
    assert not (place / "v.npy").exists()
