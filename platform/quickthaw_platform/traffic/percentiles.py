"""Percentiles that say so where there are too few values for them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

PERCENTS = (50.0, 90.0, 95.0, 99.0)
CONFIDENCE = 0.95


def enough(percent: float) -> int:
    """Return how many values a percentile needs at least.

    The largest of n independent values lies above the q-quantile with probability 1 - q^n. Below n = ln 0.05 / ln q
    (299 for p99, 59 for p95, 29 for p90, 5 for p50) not even that bounds it from above with 95 % confidence.
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(percent / 100))


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of `count` values: percent to seconds. None: too few values. Infinity: so many requests never got there."""

    count: int
    values: dict[float, float | None]

    @classmethod
    def of(cls, values: Iterable[float], misses: int = 0) -> Percentiles:
        """Take values and as many `misses`, which are beyond any value: leaving them out would flatter."""
        column = np.array([*values, *[math.inf] * misses])
        found = {
            percent: float(np.quantile(column, percent / 100, method="inverted_cdf"))
            if len(column) >= enough(percent)
            else None
            for percent in PERCENTS
        }
        return cls(len(column), found)
