"""metrics.jsonl: one line a step, whatever happened to the run."""

import json


def test_metrics_have_plain_numbers_only(finished):
    for line in (finished.path / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        plain = [*row.pop("measures", {}).values(), *row.values()]
        assert all(isinstance(value, int | float) for value in plain)
