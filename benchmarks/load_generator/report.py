"""Compares what the two generators saw. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from benchmarks.load_generator.generators import GuideLlm, Measured, Ours
from benchmarks.report import Cell, Goal, Report
from benchmarks.stats import median

BOUND_PERCENT = 3.0

INTENDED = "first token from its intended time"
"""Shown without a goal: a generator that sends late is further off by just that, and guidellm is seen to send late."""

SENDING = "first token from the sending"
GAPS = "between tokens"


def report(rounds: Mapping[str, Sequence[Measured]], settings: Mapping[str, Any]) -> Report:
    """Evaluate the rounds of both."""
    ours, theirs = _medians(rounds[Ours.name]), _medians(rounds[GuideLlm.name])
    off = {what: 100 * abs(ours[what] - theirs[what]) / theirs[what] for what in (SENDING, GAPS)}
    goals = tuple(Goal(f"{what}: medians apart (%)", value, BOUND_PERCENT, "<=") for what, value in off.items())
    return Report("load-generator", tuple(_row(name, found) for name, found in rounds.items()), goals, settings)


def _row(name: str, found: Sequence[Measured]) -> dict[str, Cell]:
    count = sum(len(one.gaps) for one in found)
    values = {f"{what} (ms)": value * 1000 for what, value in _medians(found).items()}
    late = [intended - sent for one in found for intended, sent in zip(one.from_intended, one.from_sent, strict=True)]
    return {"generator": name, "requests": count, **values, "sent late, median (ms)": median(late) * 1000}


def _medians(found: Sequence[Measured]) -> dict[str, float]:
    return {
        INTENDED: median(list(chain.from_iterable(one.from_intended for one in found))),
        SENDING: median(list(chain.from_iterable(one.from_sent for one in found))),
        GAPS: median(list(chain.from_iterable(one.gaps for one in found))),
    }
