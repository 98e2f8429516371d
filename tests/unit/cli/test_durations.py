"""Durations that commands take."""

from __future__ import annotations

import click
import pytest

from quickthaw_platform.commands.traffic_options import DURATION, PLACE


@pytest.mark.parametrize(("text", "seconds"), [("90", 90.0), ("1.5m", 90.0), ("250ms", 0.25)])
def test_a_duration_is_seconds_or_has_a_unit(text: str, seconds: float) -> None:
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["0", "0s", "-5", "nan", "inf", "soon"])
def test_no_time_at_all_is_refused_where_something_is_to_take_it(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"more than 0 seconds|is not a duration"):
        DURATION.convert(text, None, None)


def test_a_place_in_a_trace_may_be_its_beginning_and_nothing_before_it() -> None:
    assert PLACE.convert("0", None, None) == 0.0
    with pytest.raises(click.BadParameter, match="at least 0 seconds"):
        PLACE.convert("-1", None, None)
