"""Prometheus' histogram, which takes many values at little more than the price of one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client import Histogram as PlainHistogram


class Histogram(PlainHistogram):
    """Writes once for each bucket that values fall into and once for their sum, the package twice for each value."""

    def observe_each(self, values: Sequence[float]) -> None:
        """Observe several values; of one without labels, or what `labels` returned."""
        counts: dict[int, int] = {}  # by bucket
        for value in values:
            bucket = bisect_left(self._upper_bounds, value)
            counts[bucket] = counts.get(bucket, 0) + 1
        self._sum.inc(sum(values))
        for bucket, count in counts.items():
            self._buckets[bucket].inc(count)
