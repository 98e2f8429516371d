"""What came of a simulation: columns of figures while it runs, a summary when it has ended."""

from __future__ import annotations

import enum
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.contracts import Way

PERCENTILES = (50, 90, 99)


class Phase(enum.StrEnum):
    """What an instance does with its device."""

    STARTING = "starting"
    IDLE = "idle"
    SERVING = "serving"


@dataclass(slots=True)
class Outcome:
    """Of one pair of policies. Times are seconds."""

    policy: str
    keep_alive: str
    ttft: array[float] = field(default_factory=lambda: array("d"))  # of each call served
    held: array[float] = field(default_factory=lambda: array("d"))  # of each call served: how long it had its slot
    startup: array[float] = field(default_factory=lambda: array("d"))  # of each that found no free slot: until served
    starts: array[float] = field(default_factory=lambda: array("d"))  # of each instance: until it could serve
    predicted: array[float] = field(default_factory=lambda: array("d"))  # the same, by the decision
    ways: Counter[Way] = field(default_factory=Counter)  # starts by where the weights came from
    ended: Counter[str] = field(default_factory=Counter)  # calls by how they ended
    moved: int = 0
    not_moved: int = 0
    requeued: int = 0
    phases: dict[Phase, float] = field(default_factory=lambda: dict.fromkeys(Phase, 0.0))  # instance-seconds
    seconds: float = 0.0  # simulated
    wall_seconds: float = 0.0

    def summary(self, slo_ttft: float) -> dict[str, Any]:
        """Return the figures as JSON carries them; None where there is nothing to tell."""
        calls = sum(self.ended.values())
        ttft = np.asarray(self.ttft)
        return {
            "policy": self.policy,
            "keep_alive": self.keep_alive,
            "calls": calls,
            "ended": dict(self.ended),
            "cold_share": len(self.startup) / max(1, calls),
            "startup_seconds": spread(self.startup),
            "ttft_seconds": spread(ttft),
            "start_seconds": spread(self.starts),
            "start_error": self._errors(),
            "slo_attainment": int((ttft <= slo_ttft).sum()) / max(1, calls),
            "starts": {way.value: self.ways[way] for way in Way},
            "migrations": {"done": self.moved, "failed": self.not_moved},
            "requeued": self.requeued,
            "instance_seconds": {phase.value: self.phases[phase] for phase in Phase},
            "simulated_seconds": self.seconds,
            "wall_seconds": self.wall_seconds,
        }

    def _errors(self) -> Mapping[str, float] | None:
        """Tell how far the decisions' estimates were off, relative to what came."""
        known = np.asarray(self.predicted) > 0
        took = np.asarray(self.starts)[known]
        return spread(np.abs(np.asarray(self.predicted)[known] - took) / np.maximum(took, 1e-9))


def spread(values: array[float] | NDArray[np.float64]) -> dict[str, float] | None:
    """Return mean and percentiles; None of nothing."""
    column = np.asarray(values)
    if not len(column):
        return None
    figures = np.percentile(column, PERCENTILES)
    return {"mean": float(column.mean())} | {f"p{p}": float(v) for p, v in zip(PERCENTILES, figures, strict=True)}
