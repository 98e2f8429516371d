"""Whether the traffic reached a steady state on a backend, and whether the backend could keep up with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.matrices import Matrices
from quickthaw_platform.comparison.measuring import Measuring
from quickthaw_platform.comparison.report import Steadiness, Trend
from quickthaw_platform.comparison.statistics import trend
from quickthaw_platform.comparison.statistics.trend import Slope

Floats = NDArray[np.float64]

LEAST_REQUESTS = 20
GROWTH_REQUESTS = 1.0
"""A queue that grows by less than this over a block does not matter."""
GROWTH_PART = 0.5
"""Neither does what grows by less than this part of its mean."""

SATURATED = "Saturated: all through a block the requests that wait become more, and the time to the first token longer."


def steadiness(measuring: Measuring, matrices: Matrices) -> Steadiness:
    """Look at how many requests wait over a block, how long for the first output, and how often they come."""
    halves = _halves(measuring, matrices)
    if matrices.requests < LEAST_REQUESTS:
        why = f"{matrices.requests} requests are too few to tell whether the traffic reached a steady state."
        return Steadiness(steady=None, saturated=False, why=why, halves=halves)
    queue, ttft, rate = (series(measuring, matrices) for series in (_queue, _ttft, _rate))
    queue_grows = _matters(queue, measuring.seconds, GROWTH_REQUESTS)
    ttft_grows = _matters(ttft, measuring.seconds, GROWTH_PART * _mean(matrices.ttft))
    changes = rate is not None and _changes(rate, measuring.seconds, len(matrices.times) / measuring.seconds)
    saturated = queue_grows and ttft_grows
    return Steadiness(
        steady=None if queue is None else not (queue_grows or ttft_grows or changes),
        saturated=saturated, why=_why(queue_grows, ttft_grows, changes, queue is None), halves=halves,
        queue=_trend(queue, queue_grows), ttft=_trend(ttft, ttft_grows),
    )  # fmt: skip


def _mean(values: Floats) -> float:
    return float(np.nanmean(values)) if (~np.isnan(values)).any() else 0.0


def _why(queue: bool, ttft: bool, rate: bool, unknown: bool) -> str:
    if unknown:
        return "Too little was recorded to tell whether the traffic reached a steady state."
    if queue and ttft:
        return SATURATED
    grown = [
        text
        for grows, text in (
            (queue, "the requests that wait become more"),
            (ttft, "the time to the first token becomes longer"),
            (rate, "the rate of the requests changes"),
        )
        if grows
    ]
    if grown:
        return f"Not steady: {' and '.join(grown)} all through a block, so its means depend on how long it was."
    return "Steady: neither the requests that wait nor the time to the first token grow over a block."


def _queue(measuring: Measuring, matrices: Matrices) -> Slope | None:
    """Return the trend of how many wait for their first output, on average over the repeats."""
    known = ~np.isnan(matrices.ttft)
    if not known.any():
        return None
    arrived = np.broadcast_to(matrices.times, matrices.ttft.shape)[known]
    middles, present = trend.present(arrived, arrived + matrices.ttft[known], measuring.seconds)
    return trend.slope(middles, present / len(matrices.repeats))


def _ttft(measuring: Measuring, matrices: Matrices) -> Slope | None:
    times = np.broadcast_to(matrices.times, matrices.ttft.shape)
    return trend.slope(*trend.binned(times.ravel(), matrices.ttft.ravel(), measuring.seconds))


def _rate(measuring: Measuring, matrices: Matrices) -> Slope | None:
    edges = np.linspace(0, measuring.seconds, trend.BINS + 1)
    counts = np.histogram(matrices.times, edges)[0] / (measuring.seconds / trend.BINS)
    return trend.slope((edges[1:] + edges[:-1]) / 2, counts.astype(np.float64))


def _matters(found: Slope | None, seconds: float, least: float) -> bool:
    return found is not None and found.grows and found.value * seconds > least


def _changes(found: Slope, seconds: float, rate: float) -> bool:
    surely = (found.low > 0 or found.high < 0) and found.chance < 0.05
    return surely and abs(found.value) * seconds > GROWTH_PART * rate


def _trend(found: Slope | None, grows: bool) -> Trend | None:
    return None if found is None else Trend(slope=found.estimate(), grows=grows)


def _halves(measuring: Measuring, matrices: Matrices) -> Estimate:
    """Return the mean time to the first token in the second half of a block, minus that in the first."""
    late = matrices.times >= measuring.seconds / 2
    first, second = (np.where(half, matrices.ttft, np.nan) for half in (~late, late))
    if np.isnan(first).all() or np.isnan(second).all():
        return Estimate()
    resampling = measuring.resampling
    replicates = resampling.mean(second, matrices.name) - resampling.mean(first, matrices.name)
    return resampling.estimate(float(np.nanmean(second) - np.nanmean(first)), replicates, matrices.answered)
