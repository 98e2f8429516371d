"""Serverless in the Wild (Shahrad et al., ATC'20): what the histogram of a function's idle times says."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from quickthaw_platform.contracts import IdleHistory, Keep

SHORTEST_SECONDS = 0.1
RANGE_SECONDS = 4 * 3600.0
"""Longer idle times are out of bounds, as in the paper."""

BINS = 60
"""From SHORTEST_SECONDS to RANGE_SECONDS, each 22 % wider than the one before: the paper's minutes are too coarse."""

MIN_GAPS = 10
MIN_VARIATION = 2.0
"""The counts' coefficient of variation below which the histogram is too flat to tell anything, as in the paper."""

MAX_OUT_OF_BOUNDS = 0.5
HEAD_QUANTILE = 0.05
TAIL_QUANTILE = 0.99
MARGIN = 0.1

PREWARM_STARTS = 4.0
"""Stopping and starting again must free the device for so many times as long as a start takes."""


class HistogramKeepAlive:
    """Keep until nearly all idle times (99 %) would be over, and not before the first of them (5 %) are.

    Both with a margin of a tenth. Where the head is short, instances just stay until the tail; where it is long, they
    go at once and one is started again in time for the head. Where the histogram tells nothing (fewer than MIN_GAPS
    idle times, too flat, or more than half of them out of bounds, for which the paper forecasts by ARIMA), the deploy's
    `keep_alive` holds.
    """

    def keep(self, history: IdleHistory) -> Keep:
        """Return the window of the histogram, or the fixed time."""
        inside = sorted(gap for gap in history.gaps if gap <= RANGE_SECONDS)
        heavy = len(history.gaps) - len(inside) > MAX_OUT_OF_BOUNDS * len(history.gaps)
        if heavy or len(inside) < MIN_GAPS or _variation(inside) < MIN_VARIATION:
            return Keep(history.keep_alive_seconds)
        head = inside[math.floor(HEAD_QUANTILE * (len(inside) - 1))]
        tail = inside[math.ceil(TAIL_QUANTILE * (len(inside) - 1))]
        until = tail * (1 + MARGIN)
        prewarm_after = head * (1 - MARGIN) - history.start_seconds
        if prewarm_after < PREWARM_STARTS * history.start_seconds:
            return Keep(until)
        return Keep(0.0, prewarm_after, until)


def _variation(gaps: Sequence[float]) -> float:
    """Return the bins' coefficient of variation.

    With counts c of n gaps its square is BINS * sum((c / n)^2) - 1. The paper's counts are large; ours are few, and
    their noise alone would look like a peak: c * (c - 1) / (n * (n - 1)) is the same without that noise.
    """
    counts = Counter(map(_bin, gaps)).values()
    pairs = sum(count * (count - 1) for count in counts) / (len(gaps) * (len(gaps) - 1))
    return math.sqrt(max(0.0, BINS * pairs - 1))


def _bin(gap: float) -> int:
    """Return the bin's number, counted in equal ratios."""
    place = math.log(max(gap, SHORTEST_SECONDS) / SHORTEST_SECONDS) / math.log(RANGE_SECONDS / SHORTEST_SECONDS)
    return min(int(place * BINS), BINS - 1)
