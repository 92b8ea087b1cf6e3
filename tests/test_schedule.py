"""Schedules as functions of the step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.schedule import cosine, warmup_cosine


def test_the_rate_warms_up_and_falls():
    rates = [warmup_cosine(2.0, step, 100, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == pytest.approx(2.0)
    assert rates[55] == pytest.approx(1.0)
    assert rates[99] < 0.01
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_half_a_cosine_and_its_ends():
    assert [cosine(2.0, 4.0, progress) for progress in (0.0, 1.0)] == [2.0, 4.0]
    assert cosine(2.0, 4.0, 0.5) == pytest.approx(3.0)
    assert cosine(2.0, 4.0, 1 / 3) == pytest.approx(2.5)  # cos(pi / 3) is a half
    assert [cosine(2.0, 4.0, progress) for progress in (-1.0, 7.0)] == [2.0, 4.0]


def test_a_rate_without_warm_up_begins_at_its_peak():
    assert warmup_cosine(2.0, 0, 100, 0) == 2.0
    assert warmup_cosine(2.0, 100, 100, 10, final=0.5) == pytest.approx(0.5)


RATES = st.floats(0, 1e6)


@given(RATES, RATES, st.integers(1, 10**6), st.data())
def test_a_rate_stays_within_its_ends(peak, final, steps, data):
    """Above 0 at every step of the warm-up, and afterwards between the highest rate and the last one."""
    warmup, step = data.draw(st.integers(0, steps)), data.draw(st.integers(0, steps - 1))
    rate, slack = warmup_cosine(peak, step, steps, warmup, final), 1e-9 * max(peak, final)
    low = min(peak / warmup, peak) if step < warmup else min(peak, final)
    high = peak if step < warmup else max(peak, final)
    assert low - slack <= rate <= high + slack
    progress = data.draw(st.floats(-2, 3))
    assert min(peak, final) - slack <= cosine(peak, final, progress) <= max(peak, final) + slack
