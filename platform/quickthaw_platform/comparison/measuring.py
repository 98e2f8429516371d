"""What all parts of a report are computed from: matrices of each backend, and one resampling for all."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.comparison.matrices import Matrices, matrices, numbers_of
from quickthaw_platform.comparison.recorded import Recorded
from quickthaw_platform.comparison.recording import Backend, Recording
from quickthaw_platform.comparison.rows import TimelineLine, UsageLine
from quickthaw_platform.comparison.statistics.bootstrap import REPLICATES, Resampling, Windows, window_seconds
from quickthaw_platform.traffic.result import RequestResult

Floats = NDArray[np.float64]

LEAST_REPLICATES = 200
MOST_WEIGHTS = 40_000_000
"""Numbers that are held for all arrivals and replicates: 320 MB."""


@dataclass(frozen=True)
class Measuring:
    """A run, ready to be computed with."""

    recorded: Recorded
    seconds: float  # of a block
    backends: dict[str, Matrices]
    windows: Windows
    resampling: Resampling

    @property
    def recording(self) -> Recording:
        """What the run says of itself."""
        return self.recorded.recording

    @property
    def rate(self) -> float:
        """Requests per second that each backend was sent."""
        return int(self.resampling.weights.shape[1]) / self.seconds

    def observed(self, name: str) -> float:
        """Return the seconds in which requests came to a backend, also in a block that was interrupted."""
        blocks = [block.seconds for block in self.recording.blocks_of(name) if block.sent]
        return sum(min(each, self.seconds) for each in blocks) or self.seconds

    def results(self, name: str) -> list[RequestResult]:
        """Return the requests of a backend."""
        return [result for result in self.recorded.results if result.backend == name]

    def usage(self, name: str) -> list[UsageLine]:
        """Return what a backend used."""
        return [line for line in self.recorded.usage if line.backend == name]

    def timeline(self, name: str) -> list[TimelineLine]:
        """Return a backend's instances over time, in order."""
        lines = [line for line in self.recorded.timeline if line.backend == name]
        return sorted(lines, key=lambda line: (line.repeat, line.at))

    def measured(self) -> list[Backend]:
        """Return the backends of which any request was sent."""
        return [one for one in self.recording.backends if self.backends[one.name].requests]


def replicates_of(arrivals: int) -> int:
    """Return how often so many arrivals are resampled: as often as their weights find room in memory."""
    return min(REPLICATES, max(LEAST_REPLICATES, MOST_WEIGHTS // max(1, arrivals)))


def measure(recorded: Recorded, seed: int) -> Measuring:
    """Sort the results of a run, and draw the windows of time that all its intervals rest on."""
    ordered = sorted(recorded.results, key=lambda result: (result.backend, result.repeat, result.number))
    run, recorded = recorded.recording, replace(recorded, results=ordered)  # sums depend on their order
    numbers, times = numbers_of(recorded.results)
    longest = max((block.seconds for block in run.blocks if block.sent), default=run.arrivals.seconds)
    asked = min(run.arrivals.seconds, longest)  # less where each block was interrupted
    seconds = max(asked, float(times[-1]) * (1 + 1e-9) if len(times) else 0.0, 1e-3)
    of_backend = {
        one.name: matrices(
            one.name,
            [result for result in recorded.results if result.backend == one.name],
            [block.repeat for block in run.blocks_of(one.name) if block.sent],
            numbers, times, run.slo,
        )
        for one in run.backends
    }  # fmt: skip
    width = window_seconds(seconds, run.instance.keep_alive)
    windows = Windows.draw(seconds, width, seed, replicates_of(len(times)))
    return Measuring(recorded, seconds, of_backend, windows, windows.over(times))
