"""What is promised about each request. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from quickthaw_platform.traffic.result import RequestResult

LAG_SHARE = 0.01
"""A run whose generator was later than this part of the promised first token, in its p99, says nothing."""


@dataclass(frozen=True, slots=True)
class Slo:
    """Limits in seconds: for the first token, and for the mean time of each further one (None: not promised)."""

    ttft: float = 2.0
    tpot: float | None = None

    @property
    def lag_limit(self) -> float:
        """Seconds of dispatch lag (p99) beyond which a run is invalid."""
        return LAG_SHARE * self.ttft

    def met(self, result: RequestResult) -> bool:
        """Say whether a request was answered to its end, and in time. An error is a miss, whatever came before."""
        if result.error is not None or result.ttft is None or result.ttft > self.ttft:
            return False
        return self.tpot is None or result.tpot is None or result.tpot <= self.tpot
