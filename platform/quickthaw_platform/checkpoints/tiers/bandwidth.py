"""How fast each tier gave what was read from it: moving averages. Pure but for its lock."""

from __future__ import annotations

import threading

from quickthaw_platform.checkpoints.tiers.resident import Tier

WEIGHT = 0.3
"""Of the newest measurement."""

MIN_BYTES = 16 << 20
"""Smaller loads say more about the start of a read than about its speed."""

ASSUMED_BYTES_PER_SECOND: dict[Tier, float] = {"dram": 10e9, "disk": 1e9, "remote": 200e6}
"""Before anything was measured."""


class Bandwidths:
    """Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._measured: dict[Tier, float] = {}

    def note(self, tier: Tier, size: int, seconds: float) -> None:
        """Take a measurement in."""
        if size < MIN_BYTES or seconds <= 0:
            return
        with self._lock:
            now = size / seconds
            self._measured[tier] = WEIGHT * now + (1 - WEIGHT) * self._measured.get(tier, now)

    def seconds(self, tier: Tier, size: int) -> float:
        """Estimate how long so many bytes take."""
        with self._lock:
            return size / self._measured.get(tier, ASSUMED_BYTES_PER_SECOND[tier])

    def measured(self) -> dict[str, float]:
        """Return bytes/s by tier, of the tiers that were read from."""
        with self._lock:
            return {str(tier): speed for tier, speed in self._measured.items()}
