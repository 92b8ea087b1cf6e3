"""metrics.jsonl: one line a step, whatever happened to the run."""

import json

from twofold import metrics


def test_metrics_have_plain_numbers_only(finished):
    for line in (finished.path / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
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
