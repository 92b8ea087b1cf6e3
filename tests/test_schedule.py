"""Schedules as functions of the step."""

import pytest

from twofold.schedule import warmup_cosine


def test_the_rate_warms_up_and_falls():
    rates = [warmup_cosine(2.0, step, 100, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == pytest.approx(2.0)
    assert rates[55] == pytest.approx(1.0)
    assert rates[99] < 0.01
    assert rates[10:] == sorted(rates[10:], reverse=True)
