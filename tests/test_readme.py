"""The README's code runs as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import encoded, picture
from twofold import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.M | re.S)

SMALL = ["--backbone", "test_resnet", "--epochs", "1", "--image-size", "32", "--batch-size", "16"]
"""What stands in for the README's own sizes, which take minutes or hours."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with images as the README supposes them."""
    place = tmp_path_factory.mktemp("readme")
    for kind in ("ant", "bee"):
        for folder in ("photos", "labelled"):
            (place / folder / kind).mkdir(parents=True)
            for number in range(12):
                file = encoded(picture(40, 40, number), "JPEG")
                (place / folder / kind / f"{number}.jpg").write_bytes(file)
    return place


def test_commands(place, monkeypatch, capsys):
    """Every `twofold` line of the shell blocks, in order."""
    lines = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.startswith("twofold ")]
    assert len(lines) >= 5
    monkeypatch.chdir(place)
    for line in lines:
        words = shlex.split(line.partition("#")[0])[1:]
        if words[0] in ("pretrain", "compare"):
            large = ("--epochs", "100", "50", "--seeds", "3", "--backbone", "resnet18", "resnet10t")
            words = [word for word in words if word not in large] + SMALL
        if words[0] == "claims" and len(words) > 1:
            words += ["--steps", "2", "--seeds", "1"]
        cli.main(words)
    assert (place / "runs" / "mine" / "report.html").exists()
    assert (place / "backbone.safetensors").exists()
    assert (place / "runs" / "compare" / "compare.html").exists()


def test_python(place, monkeypatch, capsys):
    """The Python blocks, after the commands."""
    monkeypatch.chdir(place)
    names = {}
    for kind, text in BLOCKS:
        if kind == "python":
            text = text.replace(
                'backbone="resnet18", epochs=100', 'backbone="test_resnet", epochs=1, image_size=32, batch_size=16'
            )
            exec(compile(text, "README.md", "exec"), names)
    assert names["vectors"].vectors.shape[0] == 24
    assert np.isfinite(names["scores"]["scores"]["knn"]["pretrained"]["value"])


TABLES = [ROOT / name for name in ("README.md", "docs/methods.md", "docs/claims.md", "docs/reliability.md")]


@pytest.mark.parametrize("page", TABLES, ids=lambda page: page.name)
def test_tables_are_what_the_result_files_say(page):
    """After `python benchmarks/collect.py` nothing changes."""
    text = page.read_text()
    done = subprocess.run(
        [sys.executable, "-c", "import collect; print(collect.filled(collect.sys.stdin.read()), end='')"],
        cwd=ROOT / "benchmarks", input=text, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == text
    assert text.count("<!-- end -->") >= 1


def test_make_targets_exist():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    for target in re.findall(r"(?:^|`)make (\w+)", README, re.M):
        assert target in targets
