"""Names of files that are no UTF-8 or hold a terminal's codes, through every command, in a locale without UTF-8."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import encoded, picture
from twofold.recipe import toml
from twofold.storage.names import unescaped

STRANGE = os.fsdecode(b"caf\xe9 \x1b[31m\n[red]")
CLASSES = [os.fsdecode(b"\xff"), "two\nlines \x1b]0;title\x07"]

DRIVER = """
import sys
from twofold import cli
data, run, out = sys.argv[1:4]
common = sys.argv[4:]
for words in (
    ["scan", data],
    ["pretrain", data, "--out", run, *common],
    ["pretrain", data, "--out", run, *common],
    ["pretrain", "--recipe", run + "/recipe.toml", "--out", run + "2"],
    ["evaluate", run, "--protocols", "knn"],
    ["evaluate", run, data, "--protocols", "knn"],
    ["diagnose", run],
    ["report", run],
    ["embed", run, data, "--out", out + ".parquet"],
    ["embed", run, data, "--out", out + ".npy"],
    ["export", run, "--out", out + ".safetensors"],
    ["scan", out],
    ["evaluate", out],
):
    print("COMMAND", words[0], flush=True)
    try:
        cli.main(words)
        code = 0
    except SystemExit as end:
        code = end.code or 0
    print("CODE", code, flush=True)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """The folder of it all, and what the commands said, in bytes."""
    root = tmp_path_factory.mktemp("names")
    data = root / STRANGE
    for number in range(40):
        path = data / CLASSES[number % 2] / os.fsdecode(b"%d \xfe\n\x1b[2J.png" % number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(8, 8, number % 2)))
    (data / CLASSES[0] / "broken\x1b[2J\n.png").write_bytes(b"\x1b[2J\n")
    options = "--method simclr --epochs 1 --batch-size 8 --projector 16 8 --knn-every 1 --precision fp32"
    arguments = "--backbone-arguments layers [1,1,1,1] channels [8,8,16,16]"
    words = [data, root / ("run" + STRANGE), root / ("out" + STRANGE), *options.split(), *arguments.split()]
    here = Path(__file__).parents[1]
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, *map(os.fsencode, words)],
        capture_output=True, env={**plain, "LC_ALL": "C", "PYTHONPATH": str(here / "src"), "PYTHONUTF8": "0",
                                  "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return root, done.stdout, done.stderr


def test_every_command_works(said):
    _, out, error = said
    codes = out.decode("ascii").split("COMMAND ")[1:]
    found = [(text.split()[0], int(text.split("CODE ")[1])) for text in codes]
    good = [
        "pretrain",
        "pretrain",
        "pretrain",
        "evaluate",
        "evaluate",
        "diagnose",
        "report",
        "embed",
        "embed",
        "export",
    ]
    expected = [("scan", 1), *((name, 0) for name in good), ("scan", 2), ("evaluate", 2)]
    assert found == expected, error.decode()
    assert b"Traceback" not in error


def test_the_terminal_and_the_log_are_clean(said):
    root, out, error = said
    log = (root / ("run" + STRANGE) / "log.txt").read_bytes()
    for text in (out, error, log):
        assert not set(text) & (set(range(32)) - {10})
    assert rb"broken\x1b[2J\x0a.png" in log
    assert all(line.startswith(b"20") for line in log.splitlines())  # each begins with its time


def test_names_come_back_exactly(said):
    root, _, _ = said
    recipe, _ = (toml.recorded(toml.read(root / ("run" + STRANGE) / "recipe.toml"), "it"), None)
    assert recipe.data == str(root / STRANGE)
    table = os.fsencode(root / ("out" + STRANGE + ".parquet"))
    with open(table, "rb") as file:
        rows = pq.read_table(file).to_pydict()
    assert len(rows["path"]) == 40
    assert all((root / STRANGE / unescaped(name)).is_file() for name in rows["path"])
    assert {unescaped(name) for name in rows["label"]} == set(CLASSES)
