"""Order statistics of a handful of measurements. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the `percent`-th percentile (0 to 100), interpolated linearly between the two nearest values."""
    if not values:
        raise ValueError("no values to take a percentile of")
    if not 0 <= percent <= 100:
        raise ValueError(f"{percent} is not between 0 and 100")
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def median(values: Sequence[float]) -> float:
    """Return the 50th percentile."""
    return percentile(values, 50)


def gaps(instants: Iterable[float]) -> list[float]:
    """Return the differences of neighbours: one fewer than there are instants."""
    return [later - earlier for earlier, later in pairwise(instants)]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a table shows of many measurements of one thing, in their unit."""

    count: int
    p50: float
    p99: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Summarise at least one value."""
        return cls(len(values), median(values), percentile(values, 99), min(values), max(values))
