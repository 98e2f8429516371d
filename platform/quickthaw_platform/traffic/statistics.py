"""What describes the arrivals of a run: rate, variation of the gaps, and how much counts scatter. Pure."""

from __future__ import annotations

import numpy as np

from quickthaw_platform.traffic.columns import Floats

LEAST_CV = 1e-9
"""Gaps that differ by less are alike: their times are rounded."""


def rate(times: Floats, seconds: float) -> float:
    """Return requests per second, over the length of the run."""
    return len(times) / seconds if seconds > 0 else 0.0


def cv_of_gaps(times: Floats) -> float | None:
    """Return the coefficient of variation of the gaps (1: as a Poisson process); None below two gaps.

    `times` are in order. The deviation is that of the population, as published for the Azure traces.
    """
    gaps = np.diff(times)
    if len(gaps) < 2 or gaps.sum() <= 0:
        return None
    found = float(gaps.std() / gaps.mean())
    return found if found > LEAST_CV else 0.0


def fano(times: Floats, seconds: float, bin_seconds: float = 1.0) -> float | None:
    """Return the Fano factor of the counts in bins of `bin_seconds`: variance / mean (1: as a Poisson process).

    Only whole bins count; None below two of them, or where they hold nothing.
    """
    bins = int(seconds / bin_seconds + 1e-9)
    counts = np.bincount((times / bin_seconds).astype(np.int64), minlength=bins)[:bins]
    if bins < 2 or not counts.sum():
        return None
    return float(counts.var() / counts.mean())
