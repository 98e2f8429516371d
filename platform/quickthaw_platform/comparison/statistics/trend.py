"""Whether something grows over a block: Theil and Sen's slope, and Mann and Kendall's test.

Both look at ranks and pairs, so that a burst does not make a trend. The series are means in a few bins, each longer
than what neighbours usually share, because the tests take their values for independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, theilslopes

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.statistics.bootstrap import CONFIDENCE

Floats = NDArray[np.float64]

BINS = 20
LEAST_BINS = 6


@dataclass(frozen=True)
class Slope:
    """Growth of a series per second, with its interval and the probability of as much of it by chance (two-sided)."""

    value: float
    low: float
    high: float
    chance: float
    count: int

    @property
    def grows(self) -> bool:
        """Whether it surely grows: the interval lies above 0 and the test agrees."""
        return self.low > 0 and self.chance < 1 - CONFIDENCE

    def estimate(self) -> Estimate:
        """Return it as a figure of the report."""
        return Estimate(value=self.value, low=self.low, high=self.high, count=self.count)


def slope(times: Floats, values: Floats) -> Slope | None:
    """Return the slope of a series; None where it has too few values to tell. NaN are left out."""
    known = ~np.isnan(values)
    if known.sum() < LEAST_BINS:
        return None
    x, y = times[known], values[known]
    if np.all(y == y[0]):
        return Slope(0.0, 0.0, 0.0, 1.0, len(y))
    value, _, low, high = theilslopes(y, x, CONFIDENCE)
    return Slope(float(value), float(low), float(high), float(kendalltau(x, y).pvalue), len(y))


def binned(times: Floats, values: Floats, seconds: float, bins: int = BINS) -> tuple[Floats, Floats]:
    """Return the middles of equal bins of a block, and the mean of the values in each; NaN in an empty one."""
    middles = (np.arange(bins) + 0.5) * seconds / bins
    place = np.clip((times / seconds * bins).astype(np.int64), 0, bins - 1)
    known = ~np.isnan(values)
    counts = np.bincount(place[known], minlength=bins)
    sums = np.bincount(place[known], values[known], minlength=bins)
    return middles, np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def present(arrived: Floats, left: Floats, seconds: float, bins: int = BINS) -> tuple[Floats, Floats]:
    """Return the middles of equal bins, and how many are there on average in each, by when each arrives and leaves."""
    edges = np.linspace(0, seconds, bins + 1)
    overlaps = np.minimum(left[:, None], edges[1:]) - np.maximum(arrived[:, None], edges[:-1])
    return (edges[1:] + edges[:-1]) / 2, np.maximum(overlaps, 0).sum(axis=0) / (seconds / bins)
