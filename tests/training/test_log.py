"""Sentences of a run, on the terminal and in log.txt, and what the bar says."""

import io

import pytest
from rich.console import Console

from twofold.training import log
from twofold.training.log import Bar, Log, duration, status


def lines(path):
    """Without their times."""
    return [line.split("  ", 1)[1] for line in path.read_text().splitlines()]


def test_what_is_said_before_there_is_a_directory_stands_in_its_log_first(tmp_path):
    console = Console(file=io.StringIO(), width=40)
    told = Log(console)
    told.say("early [bold]words[/bold], longer than the terminal is wide")
    told.say("a quiet one", quiet=True)
    with told.to(tmp_path / "log.txt"):
        told.say("late")
    with told.to(tmp_path / "log.txt"):
        told.say("of another process, with a name that is no text: \udcff")
    early = "early [bold]words[/bold], longer than the terminal is wide"
    assert lines(tmp_path / "log.txt")[:3] == [early, "a quiet one", "late"]
    assert lines(tmp_path / "log.txt")[3].endswith(r"\xff")
    assert console.file.getvalue().splitlines()[:2] == [early, "late"]


def test_every_score_stands_beside_its_yardstick():
    speed = {"images_per_second": 1234.5, "waiting": 0.25}
    terms = {"attraction": 0.5, "repulsion": 4.0}
    said = status(4.5, terms, {"collapsed": 6.236, "untrained": 0.25, "knn": 0.5}, speed)
    assert said == [
        "loss 4.500 (collapsed 6.236)",
        "attraction 0.500",
        "repulsion 4.000",
        "kNN 50.0% (untrained 25.0%)",
        "1234 images/s",
        "waiting 25%",
    ]
    short = status(4.5, {"loss": 4.5}, {"collapsed": 6.236, "untrained": None, "knn": None}, speed)
    assert short == [said[0], *said[4:]]


@pytest.mark.parametrize(
    ("seconds", "words"), [(41.7, "42 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (18120, "5 h 02 min")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_without_a_terminal_the_last_step_is_told_in_a_line():
    console = Console(file=io.StringIO(), width=40)
    with Bar(console, 3, 0) as bar:
        for step in (1, 2, 3):
            bar.update(step, "epoch 1/1", ["loss 1.000"], 3.0 - step)
    assert console.file.getvalue() == "epoch 1/1  loss 1.000  0 s left\n"


def test_progress_without_a_terminal_is_a_line_now_and_then(monkeypatch, capsys):
    now = iter([0.0, 1.0, 11.0, 11.0, 12.0])
    monkeypatch.setattr(log.time, "monotonic", lambda: next(now))
    with log.progress() as tell:
        for done in (1, 2, 3):
            tell("embed", done, 3)
    assert capsys.readouterr().err == "embed: 2 of 3\n"
