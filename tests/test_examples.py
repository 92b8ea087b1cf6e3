"""The examples run as they stand, on less."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(command, **environment):
    done = subprocess.run(
        command, cwd=ROOT / "examples", capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_and_says_what_it_is(path):
    text = path.read_text()
    assert text.startswith('"""')
    assert len(text.splitlines()) < 60


def test_own_loop():
    """It learns: kNN on held-out digits rises."""
    said = run([sys.executable, "own_loop.py", "test_resnet"])
    untrained, pretrained = (float(value) for value in re.findall(r"([\d.]+)%", said))
    assert pretrained > untrained


def test_ddp():
    said = run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "ddp.py"])
    first, last = (float(value) for value in re.findall(r"[\d]+\.[\d]+", said))
    assert last < first
    assert "2 processes" in said


def test_fabric():
    first, last, steps = re.findall(r"[\d.]+", run([sys.executable, "fabric.py"]))
    assert float(last) < float(first)
    assert int(steps) == 28


def test_own_data_and_backbone(tmp_path):
    said = run([sys.executable, "own_data_and_backbone.py", str(tmp_path / "run")])
    for protocol in ("knn", "linear"):
        scores = re.search(rf"^{protocol} .*untrained': '([\d.]+)%'.*pretrained': '([\d.]+)%'", said, re.M)
        assert float(scores[2]) > float(scores[1])


def test_sklearn_features():
    assert float(re.search(r"([\d.]+)%", run([sys.executable, "sklearn_features.py"]))[1]) > 50


def test_own_method(tmp_path):
    """It shows up in the commands and learns, from its folder."""
    twofold = [sys.executable, "-m", "twofold"]
    assert "power of the distance" in run([*twofold, "methods", "own_method:Sharpness"])
    assert "--sharpness" in run([*twofold, "pretrain", "--method", "own_method:Sharpness", "--help"])
    words = ["--backbone", "test_resnet", "--epochs", "2", "--limit", "256", "--batch-size", "64"]
    out = str(tmp_path / "run")
    run(
        [*twofold, "pretrain", "digits", "--method", "own_method:Sharpness", "--sharpness", "1.5", *words, "--out", out]
    )
    assert "sharpness = 1.5" in (tmp_path / "run" / "recipe.toml").read_text()
