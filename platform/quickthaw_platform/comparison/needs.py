"""What a request needs of an instance, as a run measured it: seconds in its slot, and seconds of a start."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.comparison.economics.break_even import (
    most_rate,
    rates_up_to,
    stretched,
)
from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.measuring import Measuring
from quickthaw_platform.comparison.using import BUSY, DRAINING, mean_of, start_seconds, used

Floats = NDArray[np.float64]

SAMPLES = 200
"""Of the bootstrap, for the interval of a curve."""


@dataclass(frozen=True)
class Needs:
    """What a request needs of an instance, as the run measured it, with replicates for the intervals."""

    backend: str  # whose requests these are
    service: Estimate
    services: Floats
    start: Estimate  # with the stop after it
    starts: Floats
    others: float  # that shared the instance with a request, on average
    most_rate: float
    rates: Floats  # of a curve
    stretch: Floats  # the service at each of those rates by the measured one


def needs(measuring: Measuring, seed: int) -> Needs | None:
    """Return the mean seconds of a warm request in its slot, and of a start; None where no request was warm.

    They are those of the serverless backend, or of the first that was measured where there is none. Where no start was
    seen, the run's calibration tells how long one takes; where that knows nothing either, a start is taken for free.
    """
    measured = sorted(measuring.measured(), key=lambda one: one.kind != "serverless")
    for backend in measured:
        matrices = measuring.backends[backend.name]
        warm = np.where(matrices.cold == 1.0, np.nan, matrices.held)
        if np.nanmax(warm, initial=0.0) > 0:
            break
    else:
        return None
    replicates = measuring.resampling.mean(warm, backend.name)[:SAMPLES]
    mean = float(np.nanmean(warm))
    service = measuring.resampling.estimate(mean, replicates, int((~np.isnan(warm)).sum()))
    start, starts = _start(measuring, backend.name, seed)
    instance, calibration = measuring.recording.instance, measuring.recording.calibration
    slowdown = 0.0 if calibration is None else calibration.slowdown_per_stream
    known = np.where(np.isnan(replicates), mean, replicates)
    others = _others(measuring, backend.name)
    alone = mean / (1 + slowdown * others)
    most = most_rate(alone, instance.concurrency, slowdown)
    rates = rates_up_to(most, mean + (start.value or 0.0) + instance.keep_alive)
    crowding = others / (measuring.rate * mean)
    if others >= instance.concurrency - 1:  # more would have shared it: at least as many as Poisson arrivals find
        crowding = max(1.0, crowding)
    stretch = stretched(rates, alone, slowdown, crowding, instance.concurrency) / mean
    return Needs(backend.name, service, known, start, starts, others, most, rates, stretch)


def _others(measuring: Measuring, name: str) -> float:
    """Return how many requests shared an instance with one, on average over its time in a slot."""
    matrices, found = measuring.backends[name], used(measuring, name)
    once = twice = served = 0.0  # the number in service over time: its integral, that of its square, and time above 0
    for row in range(len(matrices.repeats)):
        known = ~np.isnan(matrices.held[row])
        ends = matrices.times[known] + matrices.e2e[row][known]
        moments = np.concatenate([ends - matrices.held[row][known], ends])
        order = np.argsort(moments)
        number = np.cumsum(np.repeat([1, -1], len(ends))[order])[:-1]
        lasts = np.diff(moments[order])
        once, twice = once + float(number @ lasts), twice + float(number**2 @ lasts)
        served += float(lasts[number > 0].sum())
    if not once:
        return 0.0
    instances = max(1.0, found.of(*BUSY) / served) if found is not None else 1.0
    return min(measuring.recording.instance.concurrency - 1.0, max(0.0, twice / once / instances - 1))


def _start(measuring: Measuring, name: str, seed: int) -> tuple[Estimate, Floats]:
    seen = start_seconds(measuring.results(name))
    found, calibration = used(measuring, name), measuring.recording.calibration
    stop = found.of(DRAINING) / len(seen) if seen and found is not None else 0.0
    if not seen:
        known = list(calibration.start_seconds.values()) if calibration is not None else []
        value = (sum(known) / len(known) if known else 0.0) + (calibration.stop if calibration is not None else 0.0)
        return Estimate(value=value), np.full(SAMPLES, value)
    return mean_of([seconds + stop for seconds in seen], seed, SAMPLES)
