"""The part of a trace that a run plays: which, how fast, and again where the trace is shorter. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.traffic.columns import Floats, Ints
from quickthaw_platform.traffic.traces.trace import Trace

COUNT_TOLERANCE = 0.01
"""Windows whose number of requests is off by so large a part at most count as equally typical."""

MOST_WINDOWS = 500_000
"""Of a longer trace not every request is tried as the beginning of the window."""


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """What is sent: seconds from the start of the run, and the rows of the trace that they are of."""

    times: Floats
    rows: Ints
    offset: float  # where in the trace it begins, in the trace's seconds
    notes: tuple[str, ...] = ()


def play(
    trace: Trace, seconds: float, *, rate: float | None = None, speed: float = 1.0, offset: float | None = None
) -> Played:
    """Return what of a trace comes in `seconds`, `speed` of its seconds passing in one.

    `rate` is what the mean over the whole trace becomes, before `speed`. Without an `offset` the window is the one
    most like the whole: by its number of requests first, then by the variation of its gaps. A window that reaches
    beyond the end goes on at the beginning. SettingsInvalid where requests that all come at once are to have a rate.
    """
    if trace.rate is None:
        return _all_at_once(trace, rate)
    speed *= 1.0 if rate is None else rate / trace.rate
    length = seconds * speed
    offset = typical_offset(trace, length) if offset is None else offset % trace.span
    rounds = int((offset + length) // trace.span) + 1
    parts = [_part(trace, offset - number * trace.span, length) for number in range(rounds)]
    times, rows = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    notes = ("the run is longer than the trace, which was played again from its start",) if rounds > 1 else ()
    return Played(times / speed, rows, offset, notes)


def _part(trace: Trace, begin: float, length: float) -> tuple[Floats, Ints]:
    """Return what of one round lies in `length` seconds from `begin`, counted from there, and its rows."""
    first, last = np.searchsorted(trace.times, (begin, begin + length))
    return trace.times[first:last] - begin, np.arange(first, last)


def typical_offset(trace: Trace, length: float) -> float:
    """Return where the window of `length` seconds begins that is most like the whole trace; 0 where none fits in."""
    starts = trace.times[: np.searchsorted(trace.times, trace.span - length, side="right")]
    if not len(starts) or trace.rate is None:
        return 0.0
    starts = starts[:: 1 + len(starts) // MOST_WINDOWS]
    firsts = np.searchsorted(trace.times, starts)
    counts = np.searchsorted(trace.times, starts + length) - firsts
    misses = np.abs(counts - trace.rate * length)
    near = misses <= max(float(misses.min()), COUNT_TOLERANCE * trace.rate * length)
    variations = _variations(trace.times, firsts[near], counts[near])
    wanted = _variations(trace.times, np.array([0]), np.array([len(trace)]))[0]
    return float(starts[near][np.argmin(np.abs(variations - wanted))])


def _all_at_once(trace: Trace, rate: float | None) -> Played:
    if rate is not None:
        raise SettingsInvalid(
            f"a trace of {len(trace)} request(s) at one time has no rate that could be changed; leave `rate` out"
        )
    return Played(trace.times, np.arange(len(trace)), 0.0)


def _variations(times: Floats, firsts: Ints, counts: Ints) -> Floats:
    """Return the coefficient of variation of the gaps in each window of `counts` requests (0 below two gaps)."""
    gaps = np.diff(times)
    sums, squares = (np.concatenate([[0.0], np.cumsum(column)]) for column in (gaps, gaps**2))
    numbers = np.maximum(counts - 1, 0)
    lasts = firsts + numbers
    means = (sums[lasts] - sums[firsts]) / np.maximum(numbers, 1)
    variances = (squares[lasts] - squares[firsts]) / np.maximum(numbers, 1) - means**2
    return cast("Floats", np.sqrt(np.maximum(variances, 0.0)) / np.maximum(means, 1e-12))
