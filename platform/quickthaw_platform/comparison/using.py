"""What each backend used: device-seconds by phase, how many instances were started, and what that is of a request."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.measuring import Measuring
from quickthaw_platform.comparison.report import Usage
from quickthaw_platform.comparison.rows import TimelineLine
from quickthaw_platform.comparison.statistics.bootstrap import divide
from quickthaw_platform.traffic.result import RequestResult

Floats = NDArray[np.float64]

GIB = 2**30
STARTING, IDLE, DRAINING = "starting", "idle", "draining"
BUSY = ("prefill", "decode")
COMMAND = "starting/command"  # of an endpoint, before its block began
NOT_OF_START = frozenset({"queue", "prefill"})
"""Stages of a cold request in which its instance did not start: it did not exist yet, or served already."""


@dataclass(frozen=True)
class Used:
    """Device-seconds of one backend, all blocks together. `replicates` are those of a request, by the bootstrap."""

    by_phase: dict[str, float]
    requests: int
    replicates: Floats

    @property
    def seconds(self) -> float:
        """All phases but the start by command, which is before the block."""
        return sum(seconds for phase, seconds in self.by_phase.items() if phase != COMMAND)

    def of(self, *phases: str) -> float:
        """Return the seconds of phases; a stage of a start counts for the start."""
        return sum(
            seconds for phase, seconds in self.by_phase.items()
            if phase.partition("/")[0] in phases and phase != COMMAND
        )  # fmt: skip


def used(measuring: Measuring, name: str) -> Used | None:
    """Return what a backend used; None where it was not metered, or where no request came."""
    lines, requests = measuring.usage(name), measuring.backends[name].requests
    by_phase: defaultdict[str, float] = defaultdict(float)
    for line in lines:
        if line.phase and line.seconds:
            by_phase[line.phase] += line.seconds
    found = Used(dict(by_phase), requests, np.zeros(0))
    if not found.seconds or not requests:
        return None
    return Used(found.by_phase, requests, _replicates(measuring, name, found.seconds))


def usage(measuring: Measuring, name: str) -> Usage | None:
    """Return the part of the report; None where the backend was not metered."""
    found, lines = used(measuring, name), measuring.usage(name)
    if found is None:
        return None
    return Usage(
        seconds_by_phase={phase: found.by_phase[phase] for phase in sorted(found.by_phase, key=_order)},
        seconds=measuring.resampling.estimate(found.seconds / found.requests, found.replicates, found.requests),
        memory_gib_seconds=sum(line.memory_byte_seconds for line in lines) / GIB,
        tokens_in=sum(line.tokens_in for line in lines),
        tokens_out=sum(line.tokens_out for line in lines),
        tokens_cached=sum(line.tokens_cached for line in lines),
        tokens_saved=sum(line.tokens_saved for line in lines),
        fetched_bytes=sum(line.fetched_bytes for line in lines),
    )


def _order(phase: str) -> tuple[int, str]:
    order = (STARTING, *BUSY, IDLE, DRAINING)
    kind = phase.partition("/")[0]
    return (order.index(kind) if kind in order else len(order), phase)


def _replicates(measuring: Measuring, name: str, seconds: float) -> Floats:
    """Return device-seconds of a request in each replicate.

    The instances over time tell where in a block the seconds were used; without them only repeats are drawn.
    """
    matrices, resampling = measuring.backends[name], measuring.resampling
    sent = resampling.total(matrices.sent, name)
    there = _instances(measuring.timeline(name), matrices.repeats, measuring.seconds)
    if there is not None and there.sum() > 0:
        bins = measuring.windows.over(np.arange(there.shape[1], dtype=np.float64) + 0.5)
        return divide(bins.total(there * (seconds / there.sum()), name), sent)
    by_repeat = np.zeros((len(matrices.repeats), 1))
    for line in measuring.usage(name):
        if line.phase not in ("", COMMAND) and line.repeat in matrices.repeats:
            by_repeat[matrices.repeats.index(line.repeat)] += line.seconds
    drawn = resampling.repeats(len(by_repeat), name)
    return divide((drawn * by_repeat[:, 0]).sum(axis=1), sent)


def _instances(lines: Sequence[TimelineLine], repeats: Sequence[int], seconds: float) -> Floats | None:
    """Return how many instances there were in each second of each repeat; None without a record of one of them."""
    moments = np.arange(max(1, math.ceil(seconds))) + 0.5
    found = np.zeros((len(repeats), len(moments)))
    for row, repeat in enumerate(repeats):
        mine = [line for line in lines if line.repeat == repeat]
        if not mine:
            return None
        at = np.asarray([line.at for line in mine])
        counts = np.asarray([line.instances_starting + line.instances_ready for line in mine], dtype=np.float64)
        found[row] = counts[np.clip(np.searchsorted(at, moments, side="right") - 1, 0, len(at) - 1)]
    return found


def start_seconds(results: Sequence[RequestResult]) -> list[float]:
    """Return how long each start took that a request waited for. Requests that shared one tell the same stages."""
    starts: dict[tuple[int, tuple[tuple[str, float], ...]], float] = {}
    for result in results:
        stages = {name: s for name, s in result.stages.items() if name not in NOT_OF_START} if result.cold else {}
        if stages:
            starts[(result.repeat, tuple(sorted(stages.items())))] = sum(stages.values())
    return list(starts.values())


def mean_of(values: Sequence[float], seed: int, replicates: int) -> tuple[Estimate, Floats]:
    """Return the mean of independent values with its bootstrap; nothing of none."""
    if not values:
        return Estimate(), np.full(replicates, np.nan)
    given = np.asarray(values)
    drawn = np.random.default_rng([seed, 2]).choice(given, (replicates, len(given))).mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    if len(given) < 2:
        return Estimate(value=float(given[0]), count=1), drawn
    return Estimate(value=float(given.mean()), low=float(low), high=float(high), count=len(given)), drawn
