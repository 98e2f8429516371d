"""Differences between two backends on the same requests, and what counts as none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.statistics.bootstrap import Resampling

Floats = NDArray[np.float64]
Verdict = Literal["lower", "higher", "none", "unknown"]


@dataclass(frozen=True)
class Sample:
    """What was measured of one backend: a matrix of one row a repeat and one column an arrival, and its name."""

    values: Floats
    key: str


def over_repeats(values: Floats) -> Floats:
    """Return the mean of each arrival over its repeats; NaN where no repeat has it."""
    known = ~np.isnan(values)
    counts = known.sum(axis=0)
    return np.where(counts > 0, np.nansum(values, axis=0) / np.maximum(counts, 1), np.nan)


def mean_difference(resampling: Resampling, first: Sample, second: Sample) -> Estimate:
    """Return the mean of first minus second over the arrivals that both have, with its interval.

    An arrival that only one of them has (the other failed it) counts in neither: what fails is told by attainment and
    failures.
    """
    both = ~np.isnan(over_repeats(first.values)) & ~np.isnan(over_repeats(second.values))
    if not both.any():
        return Estimate()
    one, two = (np.where(both, sample.values, np.nan) for sample in (first, second))
    replicates = resampling.mean(one, first.key) - resampling.mean(two, second.key)
    return resampling.estimate(float(np.nanmean(one) - np.nanmean(two)), replicates, int(both.sum()))


def median_difference(resampling: Resampling, first: Sample, second: Sample) -> Estimate:
    """Return the difference of the medians, first minus second, with its interval."""
    if np.isnan(first.values).all() or np.isnan(second.values).all():
        return Estimate()
    one, two = (resampling.quantile(sample.values, 0.5, sample.key) for sample in (first, second))
    count = min(int((~np.isnan(sample.values)).sum()) for sample in (first, second))
    return resampling.estimate(float(np.nanmedian(first.values) - np.nanmedian(second.values)), one - two, count)


def verdict(difference: Estimate, floor: float | None) -> Verdict:
    """Say which is lower: none where the interval holds 0 or the difference is below the noise floor.

    Without an interval nothing is known.
    """
    if difference.value is None or difference.low is None or difference.high is None:
        return "unknown"
    if difference.low <= 0 <= difference.high or abs(difference.value) <= (floor or 0.0):
        return "none"
    return "lower" if difference.value < 0 else "higher"


def noise_floor(difference: Estimate) -> float | None:
    """Return what two copies of one backend differ by: the farther end of the interval; None where there is none."""
    ends = [abs(end) for end in (difference.low, difference.high) if end is not None]
    return max(ends) if ends else None
