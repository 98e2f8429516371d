"""What a request needs of an instance, as a run measured it: seconds in its slot, and seconds of a start."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.comparison.economics.break_even import (
    most_rate,
    rates_up_to,
)
from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.measuring import Measuring
from quickthaw_platform.comparison.using import DRAINING, mean_of, start_seconds, used

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
    most_rate: float

    @property
    def rates(self) -> Floats:
        """The rates of a curve."""
        return rates_up_to(self.most_rate)


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
    return Needs(backend.name, service, known, start, starts, most_rate(mean, instance.concurrency, slowdown))


def _start(measuring: Measuring, name: str, seed: int) -> tuple[Estimate, Floats]:
    seen = start_seconds(measuring.results(name))
    found, calibration = used(measuring, name), measuring.recording.calibration
    stop = found.of(DRAINING) / len(seen) if seen and found is not None else 0.0
    if not seen:
        known = list(calibration.start_seconds.values()) if calibration is not None else []
        value = (sum(known) / len(known) if known else 0.0) + (calibration.stop if calibration is not None else 0.0)
        return Estimate(value=value), np.full(SAMPLES, value)
    return mean_of([seconds + stop for seconds in seen], seed, SAMPLES)
