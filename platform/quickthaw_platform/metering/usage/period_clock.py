"""Which period a moment belongs to: the agent's monotonic clock, named by Redis' clock. Pure.

Seconds are always counted by the monotonic clock, so a clock that is set loses and doubles nothing; only the label can
be off. What is in a period never goes back to an earlier one: after a backward step its period goes on until Redis'
clock has caught up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator


class PeriodClock:
    """For one agent. Moments are monotonic seconds; period n starts at Unix second n · `period_seconds`."""

    def __init__(self, period_seconds: float) -> None:
        self.period_seconds = period_seconds
        self._offset: float | None = None  # Redis' clock less the monotonic one

    @property
    def is_set(self) -> bool:
        """Whether Redis' clock has been heard of; before, nothing else may be asked."""
        return self._offset is not None

    def heard(self, moment: float, redis: float) -> None:
        """Take in what Redis' clock (Unix seconds) said at a moment."""
        self._offset = redis - moment

    def period(self, moment: float) -> int:
        """Return the period of a moment."""
        if self._offset is None:
            raise RuntimeError("no word from Redis' clock yet")
        return math.floor((moment + self._offset) / self.period_seconds)

    def turns(self, period: int, after: float, until: float) -> Iterator[tuple[float, int]]:
        """Yield the periods that come behind `period` from moment `after` up to `until`, with the moments they begin.

        Where Redis' clock was set forward, those in between are skipped.
        """
        first = max(period, self.period(after))
        if first > period:
            yield after, first
        for number in range(first + 1, self.period(until) + 1):
            yield max(after, number * self.period_seconds - (self._offset or 0.0)), number
