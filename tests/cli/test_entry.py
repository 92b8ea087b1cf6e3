"""What errors come to: one line and an exit code, never a traceback."""

import errno
import os
import subprocess
import sys

import pytest
import torch

from tests.together import commanded
from twofold import launch
from twofold.cli.commands import COMMANDS, SHARED
from twofold.cli.entry import main, overview
from twofold.errors import Collapsed, Diverged, Failed, UsageError
from twofold.recipe.foreign import PERMIT


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UsageError("no such folder"), 2, "no such folder"),
        (Diverged("the loss is no number"), 3, "the loss is no number"),
        (Collapsed("all alike"), 3, "all alike"),
        (MemoryError(), 1, "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), 1, "the GPU is out of memory: if another program"),
        (Failed("cannot be written"), 1, "cannot be written"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/log.txt"), 1, "runs/log.txt: No space left"),
        (UsageError("a name with \x1b[2J"), 2, "a name with \\x1b[2J"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(error, code, words, monkeypatch, capsys):
    def fails(words):
        raise error

    monkeypatch.setitem(COMMANDS, "scan", fails)
    with pytest.raises(SystemExit) as ended:
        main(["scan"])
    said = capsys.readouterr().err
    assert ended.value.code == code
    assert said.startswith("twofold: ")
    assert words in said
    assert said.count("\n") == 1


def test_where_a_part_is_named_the_present_folder_has_it(tmp_path, monkeypatch, capsys):
    """Or where one is permitted; else no module is looked for there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(PERMIT, raising=False)
    monkeypatch.setitem(COMMANDS, "scan", lambda words: None)
    for words, looked in (
        ("scan photos", False),
        ("scan hf:owner/name", False),
        ("scan --method mine:Method", True),
        ("scan --methods=simclr,mine.own:Method", True),
        ("scan photos --permit mine", True),
    ):
        monkeypatch.setattr(sys, "path", [*sys.path])
        main(words.split())
        assert (str(tmp_path) in sys.path) == looked, words
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv(PERMIT, raising=False)
        monkeypatch.setitem(COMMANDS, "scan", lambda words: None)


def test_an_interrupted_command_says_nothing(monkeypatch, capsys):
    def stopped(words):
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "scan", stopped)
    with pytest.raises(SystemExit) as ended:
        main(["scan"])
    assert (ended.value.code, capsys.readouterr().err) == (1, "")


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("embed resnet18 digits --out c.npy", "twofold.outputs.embed.embed"),
        ("pack digits --out c", "twofold.outputs.pack.pack"),
    ],
)
def test_of_one_that_keeps_what_is_done_it_is_said_that_it_goes_on(words, place, monkeypatch, capsys):
    def stopped(*given, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(place, stopped)
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert (ended.value.code, capsys.readouterr().err) == (
        1, "twofold: stopped; the same command goes on from what is done\n",
    )  # fmt: skip


SAYING = """
from twofold.cli import entry
from twofold.errors import UsageError

def command(words):
    print("said")
    raise UsageError("not so")

entry.COMMANDS["scan"] = command
entry.main(["scan"])
"""


def test_the_exit_code_is_the_commands_where_nothing_that_it_says_is_taken():
    """As by a terminal that was closed: Python's own code for what it still holds then is 120."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-c", SAYING]
    for command in (words, ["sh", "-c", 'exec "$@" >&-', "sh", *words]):  # a pipe that nobody reads, none at all
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, env=buffered)
        assert (done.returncode, done.stderr) == (2, "twofold: not so\n")
    os.close(writer)


def test_every_command_is_listed_with_what_it_does(capsys):
    main([])
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in COMMANDS)
    assert overview() in said


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in SHARED])
def test_work_for_one_process_is_refused_under_several_once(name):
    codes, said, results = commanded(2, [name])
    assert (codes, results) == ([2, 2], [])
    assert said == [f"twofold: twofold {name} is work for one process: give it without torchrun"]


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["pretrain", "--help"]])
def test_what_several_processes_would_print_is_printed_once(words):
    codes, said, results = commanded(2, words)
    assert (codes, said, len(results)) == ([0, 0], [], 1)


def test_wrong_words_are_said_once():
    codes, said, _ = commanded(2, ["pretrain", "digits", "--epoch", "3"])
    assert codes == [2, 2]
    assert len(said) == 1
    assert "did you mean --epochs?" in said[0]


def test_variables_of_a_launch_may_be_empty_but_not_senseless(monkeypatch, capsys):
    monkeypatch.setitem(COMMANDS, "scan", lambda words: None)
    for number, size in (("", ""), ("0", ""), ("", "4"), ("0", "1")):
        monkeypatch.setenv("RANK", number)
        monkeypatch.setenv("WORLD_SIZE", size)
        main(["scan"])
        if "" in (number, size):
            with launch.processes():
                assert not torch.distributed.is_initialized()
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(SystemExit) as ended:
        main(["scan"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "twofold: WORLD_SIZE must be how many processes there are, not many\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_ends_a_command_silently(unbuffered):
    """As in ``twofold --help | head -1``, whether lines are shown at once or in the end."""
    read, write = os.pipe()
    os.close(read)
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    words = [sys.executable, "-m", "twofold", "--help"]
    found = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, env=environment)
    os.close(write)
    assert (found.returncode, found.stderr) == (1, "")
    if sys.platform == "linux":
        with open("/dev/full", "w") as full:
            found = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
        assert (found.returncode, found.stderr[:33]) == (1, "twofold: No space left on device;")
