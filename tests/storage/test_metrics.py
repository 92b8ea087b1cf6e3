"""metrics.jsonl: one line a step, whatever happened to the run."""

import json
import re

import pytest

from twofold.storage import metrics


def test_metrics_have_plain_numbers_only(finished):
    for line in (finished.path / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert re.fullmatch("[0-9a-f]{8}", row.pop("crc32"))
        plain = [*row.pop("measures", {}).values(), *row.values()]
        assert all(isinstance(value, int | float) for value in plain)


def test_a_resume_drops_what_comes_after_its_checkpoint_and_what_a_kill_cut_short(tmp_path):
    path = tmp_path / "metrics.jsonl"
    written = metrics.Metrics(path, 0)
    for step in range(5):
        written.write({"step": step, "loss": step / 2})
    written.sync()
    written.close()
    with open(path, "a") as file:
        file.write('{"step": 5, "lo')
    assert [row["step"] for row in metrics.read_metrics(path)] == [0, 1, 2, 3, 4]
    again = metrics.Metrics(path, 3)
    again.write({"step": 3, "loss": 9.0})
    again.close()
    assert [row["loss"] for row in metrics.read_metrics(path)] == [0.0, 0.5, 1.0, 9.0]
    assert path.read_text().count("\n") == 4


def test_the_first_line_has_the_yardsticks(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert metrics.read_metrics(path) == []
    path.write_text('{"step": 0, "collapsed": 4.0}\n{"step": 1}\n')
    assert metrics.first_metrics(path) == {"step": 0, "collapsed": 4.0}
    path.write_text('{"step": 0, "colla')
    assert metrics.first_metrics(path) == {}


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "metrics.jsonl"
    file = metrics.Metrics(path, 0)
    for step in range(4):
        file.write({"step": step, "loss": 1.25 + step, "measures": {"rank": 3.5}})
    file.close()
    return path


def told(path):
    sentences = []
    metrics.read_metrics(path, sentences.append)
    return sentences


def test_every_flipped_bit_of_a_line_is_found_and_its_line_left_out(written):
    content = written.read_bytes()
    rows, start = metrics.read_metrics(written), content.index(b"\n") + 1
    for place in range(start, content.index(b"\n", start)):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            if changed[place] == ord("\n"):  # it makes two lines of one
                continue
            written.write_bytes(changed)
            assert metrics.read_metrics(written) == [rows[0], *rows[2:]]
            assert told(written) == [f"{written} is damaged in 1 of its lines, the first 2: they are left out"]


def test_damaged_lines_are_gone_after_a_resume_and_said(written):
    lines = written.read_text().splitlines(keepends=True)
    written.write_text("".join([lines[0], lines[1].replace("2.25", "2.75"), *lines[2:]]))
    assert metrics.gaps(written, 4) == [
        f"{written} lacks 1 of the 4 steps that are done, the first 1: curves and findings do without them"
    ]
    metrics.Metrics(written, 4).close()
    assert written.read_text() == "".join([lines[0], *lines[2:]])
    assert told(written) == []


def test_lines_of_others_need_no_checksum_but_among_those_with_one(written):
    lines = written.read_text().splitlines(keepends=True)
    written.write_text(lines[0] + '{"step": 1, "loss": 7}\n')
    assert [row["step"] for row in metrics.read_metrics(written)] == [0]
    written.write_text('{"step": 0, "loss": 8}\n{"step": 1, "loss": 7}\n')
    assert [row["loss"] for row in metrics.read_metrics(written)] == [8, 7]
