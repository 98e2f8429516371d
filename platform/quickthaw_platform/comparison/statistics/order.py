"""Quantiles with bounds that hold for any distribution: two order statistics that enclose the quantile.

Of n independent values, the number below the q-quantile is binomial(n, q). So the l-th and the u-th smallest enclose it
with probability P(l <= B < u) (David and Nagaraja 2003, *Order Statistics*, 7.1). Where even the largest value is
not surely enough above the quantile, n cannot carry an upper bound, and there are too few.

Values that depend on each other tell less than so many independent ones. Then n is divided by the design effect (Korn
and Graubard 1998, "Confidence intervals for proportions with small expected number of positive counts").
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.statistics.bootstrap import CONFIDENCE, Resampling

Floats = NDArray[np.float64]


def needed(q: float, confidence: float = CONFIDENCE) -> int:
    """Return how many independent values carry the upper bound of the q-quantile: 1 - q^n >= (1 + confidence) / 2.

    >>> needed(0.99), needed(0.5)
    (368, 6)
    """
    return math.ceil(math.log((1 - confidence) / 2) / math.log(q))


def bounds(count: float, q: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the parts of the sample below which the lower, and up to which the upper order statistic lies.

    They are Clopper and Pearson's limits for the part of values below the quantile, so that `count` need not be whole.
    """
    tail = (1 - confidence) / 2
    below = count * q
    return float(beta.ppf(tail, below, count - below + 1)), float(beta.ppf(1 - tail, below + 1, count - below))


def quantile(values: Floats, q: float, *, effect: float = 1.0, confidence: float = CONFIDENCE) -> Estimate:
    """Return the q-quantile with its bounds, or that there are too few values. `effect` is the design effect.

    The quantile is the smallest value that at least the part q of the values do not exceed.
    """
    count = len(values)
    if not count:
        return Estimate()
    effective = count / max(1.0, effect)
    enough = needed(q, confidence)
    if effective < enough:
        return Estimate(count=count, needed=math.ceil(enough * max(1.0, effect)))
    low, high = bounds(effective, q, confidence)
    places = [math.floor(low * count), math.ceil(q * count) - 1, math.ceil(high * count)]
    found = np.partition(values, sorted({min(max(0, place), count - 1) for place in places}))
    lower, value, upper = (float(found[min(max(0, place), count - 1)]) for place in places)
    return Estimate(value=value, low=lower, high=upper, count=count)


def design_effect(resampling: Resampling, below: Floats, counts: Floats, key: str) -> float:
    """Return by how much the variance of the part below a limit exceeds that of independent values; at least 1.

    `counts` has for each request (one row a repeat, one column an arrival) how many values it gave, `below` how many of
    them are below the limit. The variance is that of the block bootstrap.
    """
    count = float(counts.sum())
    part = float(below.sum()) / count if count else 0.0
    independent = part * (1 - part) / max(count, 1.0)
    if count < 2 or independent <= 0:
        return 1.0
    return max(1.0, float(np.nanvar(resampling.ratio(below, counts, key))) / independent)
