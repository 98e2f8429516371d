"""Block bootstrap in time: what would have come of the same backends had the traffic been drawn again.

Requests close in time depend on each other: a burst waits in one queue, and a start makes those after it warm. So
windows of time are drawn, with replacement and around the end of the block (circular block bootstrap: Politis and
Romano 1992, "A circular block-resampling procedure for stationary data"), and a request counts as often as windows
cover its intended send time. All backends and repeats are given the same windows, which pairs them by arrival. Repeats
are drawn besides, one fewer than there are, which makes the variance of their mean unbiased (Rao and Wu 1988,
"Resampling inference with complex survey data").

Values lie in matrices of one row a repeat and one column an arrival; NaN where a repeat lacks the arrival.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from quickthaw_platform.comparison.estimates import Estimate

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
REPLICATES = 1000
MOST_WEIGHTS = 8_000_000
"""So many weights are held at a time: 64 MB."""


def window_seconds(seconds: float, memory: float) -> float:
    """Return how long windows are to be: as long as the system remembers, within a 30th and a 6th of the block.

    `memory` is a time after which what happened is forgotten, such as keep-alive and start together.
    """
    return min(seconds / 6, max(seconds / 30, memory))


@dataclass(frozen=True)
class Windows:
    """Windows of time that were drawn: one row of beginnings for each replicate."""

    starts: Floats
    width: float
    seconds: float
    seed: int

    @classmethod
    def draw(cls, seconds: float, width: float, seed: int, replicates: int = REPLICATES) -> Windows:
        """Draw as many windows as fill the block; the same seed draws the same ones."""
        if not 0 < width <= seconds:
            raise ValueError(f"windows of {width} s do not fit into {seconds} s")
        rng = np.random.default_rng([seed, 0])
        return cls(rng.uniform(0, seconds, (replicates, max(1, round(seconds / width)))), width, seconds, seed)

    @property
    def covered(self) -> float:
        """Seconds that all windows of a replicate cover together; a second that two cover counts twice."""
        return self.width * int(self.starts.shape[1])

    def over(self, times: Floats) -> Resampling:
        """Count how often each of these times is covered. `times` ascend; those outside the block count as its ends."""
        inside = np.clip(times, 0, np.nextafter(self.seconds, 0))
        change = np.zeros((len(self.starts), len(times) + 1))
        rows = np.arange(len(self.starts))[:, None]
        ends = self.starts + self.width
        around = np.maximum(ends - self.seconds, 0)  # of what goes on at the beginning
        for begin, end in ((self.starts, ends), (np.zeros_like(ends), around)):
            np.add.at(change, (rows, np.searchsorted(inside, begin)), 1.0)
            np.add.at(change, (rows, np.searchsorted(inside, end)), -1.0)
        return Resampling(np.cumsum(change, axis=1)[:, : len(times)], self.starts.shape[1], self.seed)


@dataclass(frozen=True)
class Resampling:
    """How often each arrival counts: one row a replicate, one column an arrival."""

    weights: Floats
    windows: int  # of each replicate
    seed: int

    def repeats(self, count: int, key: str) -> Floats:
        """Return how often each repeat counts, one row a replicate. `key` names what is drawn: backends differ."""
        if count < 2:
            return np.ones((len(self.weights), count))
        rng = np.random.default_rng([self.seed, 1, *key.encode()])
        drawn = rng.multinomial(count - 1, np.full(count, 1 / count), len(self.weights))
        return np.asarray(drawn * (count / (count - 1)), dtype=np.float64)

    def total(self, values: Floats, key: str) -> Floats:
        """Return the weighted sum of each replicate; NaN counts as nothing."""
        drawn = self.repeats(len(values), key)
        return np.asarray(((self.weights @ np.nan_to_num(values).T) * drawn).sum(axis=1))

    def ratio(self, above: Floats, below: Floats, key: str) -> Floats:
        """Return sum(above) / sum(below) of each replicate; NaN where nothing was drawn that counts.

        A mean is the ratio of the values and of ones.
        """
        return divide(self.total(above, key), self.total(below, key))

    def mean(self, values: Floats, key: str) -> Floats:
        """Return the mean of each replicate."""
        return self.ratio(values, (~np.isnan(values)).astype(np.float64), key)

    def quantile(self, values: Floats, q: float, key: str) -> Floats:
        """Return the q-quantile of each replicate: the smallest value that reaches the part q of the weight."""
        flat = values.ravel()
        known = np.flatnonzero(~np.isnan(flat))
        found = np.full(len(self.weights), np.nan)
        if not len(known):
            return found
        order = known[np.argsort(flat[known], kind="stable")]
        repeat, arrival = order // values.shape[1], order % values.shape[1]
        drawn = self.repeats(len(values), key)
        step = max(1, MOST_WEIGHTS // len(order))
        for begin in range(0, len(found), step):
            part = slice(begin, begin + step)
            summed = np.cumsum(self.weights[part][:, arrival] * drawn[part][:, repeat], axis=1)
            place = np.minimum((summed < q * summed[:, -1:]).sum(axis=1), len(order) - 1)
            found[part] = np.where(summed[:, -1] > 0, flat[order[place]], np.nan)
        return found

    def interval(self, replicates: Floats, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
        """Return the expanded percentile interval of replicates; None where most of them have no value.

        So few windows make percentiles too narrow. They are taken so far out as Student's t of the number of windows
        lies beyond the normal (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", 5.3).
        """
        known = replicates[~np.isnan(replicates)]
        if len(known) < max(20, len(replicates) // 2):
            return None
        count = max(2, self.windows)
        tail = norm.cdf(math.sqrt(count / (count - 1)) * student.ppf((1 - confidence) / 2, count - 1))
        low, high = np.quantile(known, [tail, 1 - tail])
        return float(low), float(high)

    def estimate(
        self, value: float, replicates: Floats, count: int, most: tuple[float, float] = (-math.inf, math.inf)
    ) -> Estimate:
        """Return a figure with the interval of its replicates; nothing of a value that is not a number.

        One value has no interval: drawn again and again it is always the same.

        `most` are the bounds of what is possible, such as 0 and 1 for a part.
        """
        if not math.isfinite(value):
            return Estimate(count=count)
        found = self.interval(replicates) if count > 1 else None
        if found is None:
            return Estimate(value=value, count=count)
        low, high = max(most[0], min(found[0], value)), min(most[1], max(found[1], value))
        return Estimate(value=value, low=low, high=high, count=count)


def divide(above: Floats, below: Floats) -> Floats:
    """Return the quotients; NaN where the divisor is 0."""
    return np.asarray(np.divide(above, below, out=np.full(len(above), np.nan), where=below != 0))
