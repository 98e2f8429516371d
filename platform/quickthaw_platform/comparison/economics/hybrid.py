"""How many instances to keep always on, and leave the rest of the demand to calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Overflow:
    """What is beyond a base: instance-seconds that are needed, those that are kept in vain, and starts."""

    needed: float
    kept: float
    starts: int


def wanted(arrived: Floats, left: Floats, seconds: float, step: float, concurrency: int) -> Ints:
    """Return how many instances the requests need in each step of a block, by when each comes and leaves."""
    steps = max(1, int(np.ceil(seconds / step)))
    change = np.zeros(steps + 1)
    np.add.at(change, np.clip(arrived / step, 0, steps).astype(np.int64), 1)
    np.add.at(change, np.clip(np.ceil(left / step), 0, steps).astype(np.int64), -1)
    return np.ceil(np.cumsum(change)[:steps] / concurrency).astype(np.int64)


def overflow(need: Ints, base: int, keep_alive: float, step: float) -> Overflow:
    """Return what calls have to do beside a base of instances; each stays for `keep_alive` after it was needed."""
    beyond = np.maximum(need - base, 0)
    width = 1 + round(keep_alive / step)
    there = maximum_filter1d(beyond, width, origin=(width - 1) // 2, mode="constant")  # of this step and those before
    starts = int(np.maximum(np.diff(there, prepend=0), 0).sum())
    return Overflow(float(beyond.sum() * step), float((there - beyond).sum() * step), starts)
