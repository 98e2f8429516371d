"""The final scores with their intervals. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel

DRAWS = 10_000
CONFIDENCE = 0.95


class Interval(BaseModel):
    """A mean with its percentile bootstrap interval (Efron 1979), over examples drawn with replacement.

    `low` and `high` are None where all values are alike: then nothing can be drawn that differs.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    count: int

    def __str__(self) -> str:
        if self.low is None:
            return f"{self.mean:.3f} (all {self.count} alike: no interval)"
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def interval(values: Sequence[float], seed: int) -> Interval:
    """Return the mean of at least one value with its 95% interval; the same seed draws the same."""
    found = np.asarray(values, dtype=np.float64)
    mean = float(found.mean())
    if np.all(found == found[0]):
        return Interval(mean=mean, count=len(found))
    rng = np.random.default_rng(seed)
    means = found[rng.integers(0, len(found), (DRAWS, len(found)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(mean=mean, low=float(low), high=float(high), count=len(found))
