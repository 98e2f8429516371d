"""Every second of an instance's life is counted once, whatever happens to it in whatever order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw_platform.metering.usage.device_meter import DeviceMeter, Tokens

KEYS = ("", "a", "b")
EVENTS = ("stage", "loaded", "ready", "came", "gave", "left", "stopping", "turn", "advance", "end")

Event = tuple[str, float, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(EVENTS),
        st.floats(-0.5, 100, allow_nan=False),  # seconds since the event before; some come out of order
        st.integers(0, 4),
    ),
    max_size=40,
)


def play(events: Sequence[Event], began: float = 1000.0) -> tuple[DeviceMeter, float]:
    """Return the meter after the events, and when its life was over, or the last moment heard of."""
    meter, now, last, period = DeviceMeter(began, 7), began, began, 7
    for kind, seconds, number in events:
        now += seconds
        if not meter.ended:
            last = max(last, now)
        match kind:
            case "stage":
                meter.stage(now, f"s{number}", seconds * number)
            case "came":
                meter.came(now, f"call{number}", KEYS[number % 3])
            case "gave":
                meter.gave(now, f"call{number}")
            case "left":
                meter.left(now, f"call{number}")
            case "turn":
                period += 1
                meter.turn(now, period)
            case _:
                getattr(meter, kind)(now)
    return meter, last


def by_phase(meter: DeviceMeter) -> dict[str, float]:
    total: Counter[str] = Counter()
    for share in meter.shares.values():
        for (phase, _key), seconds in share.all_seconds().items():
            total[phase] += seconds  # type: ignore[assignment]  # a Counter adds up floats as well
    return {phase: round(seconds, 6) for phase, seconds in total.items()}


@given(steps)
def test_the_phases_and_keys_add_up_to_the_life(events: list[Event]) -> None:
    meter, last = play(events)
    seconds = [s for share in meter.shares.values() for s in share.all_seconds().values()]
    assert all(s >= 0 for s in seconds)
    assert math.isclose(math.fsum(seconds), last - 1000.0, rel_tol=1e-9, abs_tol=1e-6)
    assert math.isclose(math.fsum(meter.totals.values()), last - 1000.0, rel_tol=1e-9, abs_tol=1e-6)


@given(steps)
def test_cutting_a_life_into_periods_changes_no_phase(events: list[Event]) -> None:
    whole, _ = play([event if event[0] != "turn" else ("advance", *event[1:]) for event in events])
    cut, _ = play(events)
    assert by_phase(cut) == pytest.approx(by_phase(whole), abs=1e-5)


@given(steps, steps)
def test_nothing_is_counted_after_the_end(events: list[Event], later: list[Event]) -> None:
    ended, _ = play([*events, ("end", 0.0, 0)])
    longer, _ = play([*events, ("end", 0.0, 0), *later])
    assert by_phase(longer) == by_phase(ended)
    assert longer.shares.keys() == ended.shares.keys()


def test_a_warm_life_has_each_phase_for_as_long_as_it_lasted() -> None:
    meter = DeviceMeter(0.0, 0)
    meter.stage(1.0, "queue", 1.0)
    meter.stage(1.5, "fork", 0.25)
    meter.loaded(2.0)
    meter.ready(4.0)  # by a warm-up of its own
    meter.came(7.0, "x", "k")
    meter.gave(8.0, "x")
    meter.left(12.0, "x")
    meter.stopping(13.0)
    meter.end(13.5)
    assert by_phase(meter) == {
        "starting/queue": 1.0,
        "starting/fork": 0.25,
        "starting/other": 0.75,
        "starting/first_token": 2.0,
        "idle": 4.0,
        "prefill": 1.0,
        "decode": 4.0,
        "draining": 0.5,
    }


def test_a_call_that_waits_for_a_start_is_served_from_the_load_on_and_its_late_stages_count_no_more() -> None:
    meter = DeviceMeter(0.0, 0)
    meter.loaded(2.0)
    meter.came(2.0, "x", "k")
    meter.stage(5.0, "prefill", 3.0)
    meter.ready(5.0)
    meter.gave(5.0, "x")
    meter.left(6.0, "x")
    assert by_phase(meter) == {"starting/other": 2.0, "prefill": 3.0, "decode": 1.0}


def test_busy_seconds_are_shared_equally_among_the_calls_that_run() -> None:
    meter = DeviceMeter(0.0, 0)
    meter.ready(0.0)
    for call, key in (("1", "a"), ("2", "a"), ("3", "b")):
        meter.came(0.0, call, key)
        meter.gave(0.0, call)
    meter.advance(9.0)
    assert meter.shares[0].seconds == {("decode", "a"): 6.0, ("decode", "b"): 3.0}


def test_one_silent_call_makes_it_prefill_for_all() -> None:
    meter = DeviceMeter(0.0, 0)
    meter.ready(0.0)
    meter.came(0.0, "1", "a")
    meter.gave(0.0, "1")
    meter.came(1.0, "2", "b")
    meter.gave(3.0, "2")
    meter.advance(4.0)
    assert by_phase(meter) == {"decode": 2.0, "prefill": 2.0}


def test_a_stage_reaches_back_over_the_period_before() -> None:
    meter = DeviceMeter(0.0, 0)
    meter.turn(10.0, 1)
    meter.stage(14.0, "load", 9.0)
    assert meter.shares[0].all_seconds() == {("starting/load", ""): 5.0, ("starting/other", ""): 5.0}
    assert meter.shares[1].all_seconds() == {("starting/load", ""): 4.0}


def test_a_stage_never_takes_more_than_there_was() -> None:
    meter = DeviceMeter(0.0, 0)
    meter.stage(2.0, "clock-stepped", 1e9)
    assert by_phase(meter) == {"starting/clock-stepped": 2.0}


def test_one_that_is_told_to_stop_serves_what_it_has_and_drains_then() -> None:
    meter = DeviceMeter(0.0, 0)
    meter.ready(0.0)
    meter.came(0.0, "x", "k")
    meter.gave(0.0, "x")
    meter.stopping(1.0)
    meter.left(3.0, "x")
    meter.end(4.0)
    assert by_phase(meter) == {"decode": 3.0, "draining": 1.0}


def test_a_start_that_fails_drains_until_its_process_has_ended() -> None:
    meter = DeviceMeter(0.0, 0)
    meter.stopping(2.0)
    meter.end(2.5)
    assert by_phase(meter) == {"starting/other": 2.0, "draining": 0.5}


def test_tokens_and_requests_are_counted_by_key() -> None:
    meter = DeviceMeter(0.0, 0)
    meter.count("a", Tokens(3, 4))
    meter.count("a", Tokens(1, 1, 1))
    meter.count("b", Tokens())
    share = meter.shares[0]
    assert share.tokens == {"a": Tokens(4, 5, 1), "b": Tokens()}
    assert share.requests == {"a": 2, "b": 1}
