"""What the calibrated simulation says of a run, beside what the run measured: the very same requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quickthaw_platform.comparison.compute import compute
from quickthaw_platform.comparison.recorded import Recorded, read
from quickthaw_platform.comparison.recording import Calibration
from quickthaw_platform.comparison.simulation import native_rate, played, simulate_run
from quickthaw_platform.prices import catalogue

SERVERLESS, SERVERFUL = "serverless", "serverful"
MOST_ERROR = 0.10
"""By which part a prediction may be off: the goal."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one backend: US dollars per 1,000 requests, and mean seconds to the first token."""

    cost: float
    ttft: float


@dataclass(frozen=True, slots=True)
class Check:
    """A real run beside its prediction, by backend."""

    rate: float
    measured: dict[str, Figures]
    predicted: dict[str, Figures]

    def errors(self, backend: str) -> tuple[float, float]:
        """Return by which part the predicted cost and first token are off."""
        real, said = self.measured[backend], self.predicted[backend]
        return said.cost / real.cost - 1, said.ttft / real.ttft - 1

    @property
    def sign_agrees(self) -> bool:
        """Whether the same side is cheaper in both."""
        return self._cheaper(self.measured) == self._cheaper(self.predicted)

    @staticmethod
    def _cheaper(figures: dict[str, Figures]) -> bool:
        return figures[SERVERLESS].cost < figures[SERVERFUL].cost


def check(folder: Path, calibration: Calibration, offers: Sequence[str]) -> Check:
    """Read a run, simulate its requests with the calibration of another run, and price both by a pair of offers."""
    recorded = read(folder)
    simulated = simulated_again(recorded, calibration)
    report = compute(simulated, catalogue.load(), prices=list(offers))
    [pair] = report.break_evens
    costs = {(point.backend, point.simulated): point.per_thousand_requests.value for point in pair.points}
    ttfts = {(point.backend, True): point.ttft_mean for point in simulated.simulated}
    ttfts |= {(row.backend, False): row.latencies[0].mean.value or 0.0 for row in report.rows if not row.simulated}

    def figures(now_simulated: bool) -> dict[str, Figures]:
        sides = ((name, (name, now_simulated)) for name in (SERVERLESS, SERVERFUL))
        return {name: Figures(costs[key] or 0.0, ttfts[key]) for name, key in sides}

    arrivals = recorded.recording.arrivals
    return Check(arrivals.count / arrivals.seconds, figures(False), figures(True))


def simulated_again(recorded: Recorded, calibration: Calibration) -> Recorded:
    """Return the run with one simulated point of each backend: its own requests, as fast as they came."""
    trace = played(recorded.results)
    recording = recorded.recording.model_copy(update={"calibration": calibration})
    points = simulate_run(recording, recorded.results, rates=[native_rate(trace)], calls=len(trace))
    sent = recording.arrivals.count / recording.arrivals.seconds  # what is always on is paid for the whole block
    return replace(
        recorded, simulated=[p.model_copy(update={"rate": sent}) if p.kind == SERVERFUL else p for p in points]
    )
