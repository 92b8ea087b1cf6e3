"""The examples run as they stand, on less."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
from PIL import Image
from safetensors.torch import save_file

import twofold

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


def test_label_the_rest(tmp_path):
    """Two kinds of images, three of each with a label: the others get the right one."""
    for k in range(16):
        kind = ("dark", "light")[k % 2]
        pixels = np.random.default_rng(k).integers(0, 60, (24, 24, 3)) + 180 * (k % 2)
        path = tmp_path / (f"labelled/{kind}" if k < 6 else "photos") / f"{kind}-{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    weights = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), weights)
    for name in ("labelled", "photos"):
        twofold.embed(weights, tmp_path / name, out=tmp_path / f"{name}.parquet", backbone="test_resnet")
    files = [str(tmp_path / name) for name in ("labelled.parquet", "photos.parquet", "classes.csv")]
    assert "10 images, classes from 6" in run([sys.executable, "label_the_rest.py", *files])
    rows = list(csv.DictReader((tmp_path / "classes.csv").read_text().splitlines()))
    assert len(rows) == 10
    assert all(row["path"].startswith(row["class"]) and float(row["probability"]) > 0.5 for row in rows)


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
