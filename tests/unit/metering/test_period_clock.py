"""Periods are named by Redis' clock, and never go back for who is in one."""

from __future__ import annotations

import pytest

from quickthaw_platform.metering.usage.period_clock import PeriodClock


@pytest.fixture
def clock() -> PeriodClock:
    clock = PeriodClock(60.0)
    clock.heard(100.0, 6000.0)  # the end of period 99, the beginning of 100
    return clock


def test_a_period_turns_where_redis_clock_says(clock: PeriodClock) -> None:
    assert [clock.period(moment) for moment in (99.9, 100.0, 159.9, 160.0)] == [99, 100, 100, 101]
    assert list(clock.turns(99, 90.0, 230.0)) == [(100.0, 100), (160.0, 101), (220.0, 102)]


def test_nothing_turns_within_a_period(clock: PeriodClock) -> None:
    assert list(clock.turns(100, 101.0, 150.0)) == []


def test_a_clock_set_back_keeps_the_period_until_it_has_caught_up(clock: PeriodClock) -> None:
    clock.heard(110.0, 3000.0)
    assert list(clock.turns(100, 110.0, 3100.0)) == []
    assert list(clock.turns(100, 3169.0, 3171.0)) == [(3170.0, 101)]


def test_a_clock_set_forward_skips_the_periods_in_between(clock: PeriodClock) -> None:
    clock.heard(110.0, 6000.0 + 60 * 1_000_000)
    assert list(clock.turns(100, 110.0, 111.0)) == [(110.0, 1_000_100)]


def test_no_period_has_a_name_before_redis_was_heard() -> None:
    clock = PeriodClock(60.0)
    assert not clock.is_set
    with pytest.raises(RuntimeError, match="Redis"):
        clock.period(1.0)
