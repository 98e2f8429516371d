"""Backends side by side on the same requests, and what two copies of one differ by."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.matrices import Floats, Matrices
from quickthaw_platform.comparison.measuring import Measuring
from quickthaw_platform.comparison.report import Difference, DifferenceMeasure, Noise
from quickthaw_platform.comparison.statistics import paired
from quickthaw_platform.comparison.statistics.paired import Sample
from quickthaw_platform.comparison.using import used

UNITS: dict[DifferenceMeasure, str] = {
    "ttft_mean": "s", "ttft_p50": "s", "e2e_mean": "s", "tpot_mean": "s", "attainment": "part", "goodput": "requests/s",
    "device_seconds": "s a request",
}  # fmt: skip

_VALUES: dict[str, Callable[[Matrices], Floats]] = {
    "ttft_mean": lambda matrices: matrices.ttft,
    "ttft_p50": lambda matrices: matrices.ttft,
    "e2e_mean": lambda matrices: matrices.e2e,
    "tpot_mean": lambda matrices: matrices.tpot,
    "attainment": lambda matrices: matrices.met,
}


def noise(measuring: Measuring) -> Noise | None:
    """Return what the A/A pair differed by; None where none was measured."""
    for backend in measuring.measured():
        twin = backend.twin_of
        if twin is not None and measuring.backends[twin].requests:
            found = {
                measure: paired.noise_floor(_difference(measuring, backend.name, twin, measure)) for measure in UNITS
            }
            return Noise(
                backend=twin,
                twin=backend.name,
                floors={measure: floor for measure, floor in found.items() if floor is not None},
            )
    return None


def differences(measuring: Measuring, floor: Noise | None) -> list[Difference]:
    """Return all measures of each pair of backends, in the order of the run; twins stand for the floor alone."""
    names = [backend.name for backend in measuring.measured() if backend.twin_of is None]
    floors = {} if floor is None else floor.floors
    found = []
    for first, second in itertools.combinations(names, 2):
        for measure, unit in UNITS.items():
            estimate = _difference(measuring, first, second, measure)
            if estimate.count:
                found.append(
                    Difference(
                        measure=measure, first=first, second=second, unit=unit, difference=estimate,
                        floor=floors.get(measure), verdict=paired.verdict(estimate, floors.get(measure)),
                    )
                )  # fmt: skip
    return found


def _difference(measuring: Measuring, first: str, second: str, measure: DifferenceMeasure) -> Estimate:
    one, two = measuring.backends[first], measuring.backends[second]
    resampling = measuring.resampling
    if measure == "device_seconds":
        return _device_seconds(measuring, first, second)
    if measure == "goodput":
        return _goodput(measuring, one, two)
    values = _VALUES[measure]
    how = paired.median_difference if measure == "ttft_p50" else paired.mean_difference
    return how(resampling, Sample(values(one), first), Sample(values(two), second))


def _device_seconds(measuring: Measuring, first: str, second: str) -> Estimate:
    one, two = used(measuring, first), used(measuring, second)
    if one is None or two is None:
        return Estimate()
    value = one.seconds / one.requests - two.seconds / two.requests
    return measuring.resampling.estimate(value, one.replicates - two.replicates, min(one.requests, two.requests))


def _goodput(measuring: Measuring, one: Matrices, two: Matrices) -> Estimate:
    resampling, scale = measuring.resampling, measuring.seconds / measuring.windows.covered
    found = [resampling.total(m.met, m.name) * scale / measuring.observed(m.name) for m in (one, two)]
    value, less = (float(np.nansum(m.met)) / measuring.observed(m.name) for m in (one, two))
    value -= less
    return resampling.estimate(value, found[0] - found[1], min(one.requests, two.requests))
