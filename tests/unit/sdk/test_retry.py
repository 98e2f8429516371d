"""When a call is sent again: pure decisions, tried with numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw import Backoff, TimedOut
from quickthaw.retry import Deadline


@pytest.mark.parametrize(
    ("failures", "draw", "retry_after", "expected"),
    [
        (1, 1.0, None, 0.25),  # the first wait
        (1, 0.0, None, 0.125),  # at least half of it
        (3, 1.0, None, 1.0),  # doubled twice
        (7, 1.0, None, 2.0),  # no longer than that
        (20, 1.0, None, None),  # enough
        (1, 0.0, 3.0, 3.0),  # the server knows better
        (1, 0.0, 61.0, None),  # but nobody waits that long
        (20, 0.0, 0.0, None),
    ],
)
def test_waits_double_up_to_a_bound(
    failures: int, draw: float, retry_after: float | None, expected: float | None
) -> None:
    assert Backoff().seconds(failures, draw, retry_after) == expected


@given(st.floats(0, 1))
def test_the_defaults_give_a_gateway_half_a_minute_at_most(draw: float) -> None:
    waits = [Backoff().seconds(failures, draw) for failures in range(1, 21)]
    assert waits[-1] is None
    assert 10 < sum(wait for wait in waits if wait is not None) < 40


def test_a_deadline_caps_waits_and_then_raises() -> None:
    now = [100.0]
    deadline = Deadline(5, clock=lambda: now[0])
    assert deadline.capped(60) == 5
    now[0] = 104.0
    assert deadline.capped(60) == 1
    assert deadline.capped(0.5) == 0.5
    now[0] = 105.0
    with pytest.raises(TimedOut, match="within 5 s"):
        deadline.capped(60)


def test_no_deadline_caps_nothing() -> None:
    assert Deadline(None).capped(60) == 60
