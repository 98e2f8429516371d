"""What was measured of one backend as matrices: one row a repeat, one column an arrival, NaN where there is nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.comparison.estimates import Which
from quickthaw_platform.comparison.recording import Slo
from quickthaw_platform.traffic import slo as promise
from quickthaw_platform.traffic.result import RequestResult

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Matrices:
    """Of one backend. Latencies are those of requests that were answered to the end; times are seconds.

    `times` are the intended send times, the same for all backends of a run. Gaps lie in one row, each with the places
    of its request in `gap_cells` (repeat times the number of arrivals, plus arrival).
    """

    name: str
    times: Floats
    repeats: tuple[int, ...]
    sent: Floats  # 1 where a request was sent, else 0
    ttft: Floats
    tpot: Floats
    e2e: Floats
    cold: Floats  # 1: waited for a start; 0: did not; NaN: unknown
    met: Floats  # 1: within the objective; 0: not, or a miss
    held: Floats  # seconds that it held a slot: from when it was sent or left the queue to its end
    gaps: Floats
    gap_cells: Ints
    failures: Counter[str]

    @property
    def requests(self) -> int:
        """How many were sent."""
        return int(self.sent.sum())

    @property
    def answered(self) -> int:
        """How many were answered to the end."""
        return int((~np.isnan(self.e2e)).sum())

    def only(self, values: Floats, which: Which) -> Floats:
        """Return the values of cold or of warm requests, and NaN for the others; or all."""
        if which == "all":
            return values
        return np.where(self.cold == (1.0 if which == "cold" else 0.0), values, np.nan)


def numbers_of(results: Sequence[RequestResult]) -> tuple[list[int], Floats]:
    """Return the numbers of all arrivals of a run, by their intended times, and those times."""
    intended: dict[int, float] = {}
    for result in results:
        intended.setdefault(result.number, result.intended)
    order = sorted(intended, key=lambda number: (intended[number], number))
    return order, np.asarray([intended[number] for number in order], dtype=np.float64)


def matrices(
    name: str, results: Sequence[RequestResult], repeats: Sequence[int], numbers: Sequence[int], times: Floats, slo: Slo
) -> Matrices:  # fmt: skip
    """Sort the results of one backend into matrices. `repeats` are those whose blocks began, answered or not."""
    rows = {repeat: row for row, repeat in enumerate(sorted({*repeats, *(result.repeat for result in results)}))}
    columns = {number: column for column, number in enumerate(numbers)}
    shape = (len(rows), len(columns))
    limit = promise.Slo(slo.ttft, slo.tpot)
    found = {field: np.full(shape, np.nan) for field in ("ttft", "tpot", "e2e", "cold", "met", "held")}
    sent, failures = np.zeros(shape), Counter[str]()
    gaps: list[tuple[float, ...]] = []
    cells: list[int] = []
    for result in results:
        cell = rows[result.repeat], columns[result.number]
        sent[cell] = 1.0
        found["met"][cell] = float(limit.met(result))
        found["cold"][cell] = np.nan if result.cold is None else float(result.cold)
        if result.error is not None or result.ttft is None:
            failures[_kind(result)] += 1
            continue
        found["ttft"][cell], found["e2e"][cell] = result.ttft, result.e2e
        found["tpot"][cell] = np.nan if result.tpot is None else result.tpot
        found["held"][cell] = _held(result)
        gaps.append(result.gaps)
        cells += [cell[0] * shape[1] + cell[1]] * len(result.gaps)
    flat = np.fromiter((gap for row in gaps for gap in row), dtype=np.float64)
    return Matrices(
        name=name, times=times, repeats=tuple(rows), sent=sent, gaps=flat,
        gap_cells=np.asarray(cells, dtype=np.int64), failures=failures, **found,
    )  # fmt: skip


def _held(result: RequestResult) -> float:
    """Return how long it held a slot: a cold one waited for its start in the queue, which the stages tell."""
    waited = sum(seconds for stage, seconds in result.stages.items() if stage != "prefill") if result.cold else 0.0
    return max(0.0, result.end - result.sent - max(waited, result.queue or 0.0))


def _kind(result: RequestResult) -> str:
    """Return what a miss is, in a few words: the same for the same cause."""
    if result.error is None:
        return "no output"
    return result.error.split(":", 1)[0].split("\n", 1)[0][:60]
