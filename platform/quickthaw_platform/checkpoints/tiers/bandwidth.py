"""How fast each tier gives what is read from it: robust averages of every load. Pure but for its lock."""

from __future__ import annotations

import math
import threading

from quickthaw_platform.averages import Average
from quickthaw_platform.checkpoints.tiers.resident import Tier

MIN_BYTES = 16 << 20
"""Smaller loads say more about the start of a read than about its speed."""

SLOWEST_BYTES_PER_SECOND = 1e3
FASTEST_BYTES_PER_SECOND = 1e12
"""What is said to be slower or faster was measured wrongly, by a clock that jumped for example."""

ASSUMED_BYTES_PER_SECOND: dict[Tier, float] = {"dram": 10e9, "disk": 1e9, "remote": 200e6}
"""Before anything was measured."""


class Bandwidths:
    """Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._probed: dict[Tier, float] = {}
        self._averages: dict[Tier, Average] = {}

    def probed(self, tier: Tier, bytes_per_second: float) -> None:
        """Take a probe's word, until the first real load; an absurd one is ignored."""
        if is_plausible(bytes_per_second):
            with self._lock:
                self._probed[tier] = bytes_per_second

    def note(self, tier: Tier, size: int, seconds: float) -> None:
        """Take the measurement of a load in; a small or absurd one is ignored."""
        if size < MIN_BYTES or not seconds > 0 or not is_plausible(size / seconds):
            return
        with self._lock:
            known = self._averages.get(tier)
            self._averages[tier] = Average.of(size / seconds) if known is None else known.with_sample(size / seconds)

    def seconds(self, tier: Tier, size: int) -> float:
        """Estimate how long so many bytes take."""
        return size / self.measured().get(str(tier), ASSUMED_BYTES_PER_SECOND[tier])

    def measured(self) -> dict[str, float]:
        """Return bytes/s by tier, of the tiers that were probed or read from."""
        with self._lock:
            loads = {tier: average.value for tier, average in self._averages.items()}
            return {str(tier): speed for tier, speed in (self._probed | loads).items()}


def is_plausible(bytes_per_second: float) -> bool:
    """Whether a tier can be so fast; not for what is no number."""
    if not math.isfinite(bytes_per_second):
        return False
    return SLOWEST_BYTES_PER_SECOND <= bytes_per_second <= FASTEST_BYTES_PER_SECOND
