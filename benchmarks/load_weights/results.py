"""Rows and goals from what was measured. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.load_weights.cases import (
    DIRECT_READS,
    INTO_MEMORY,
    MAPPED,
    MAPS,
    RANGED_GETS,
    SECOND_BY_CACHE,
    SECOND_BY_MEMORY,
    Case,
)
from benchmarks.load_weights.measure import Measurement
from benchmarks.report import Cell, Goal
from benchmarks.stats import Summary, median

DISK_SHARE = 0.9
COLD_FACTOR = 1.5
WARM_RATIO = 1.1
SECOND_MS = 30.0
SECOND_MEMORY_SHARE = 0.05
S3_SHARE = 0.95
S3_FACTOR = 2.0
PEAK_RATIO = 1.05


@dataclass(frozen=True, slots=True)
class Result:
    """All rounds of one case with one shape of so many bytes."""

    shape: str
    bytes: int
    case: Case
    rounds: Sequence[Measurement]

    @property
    def seconds(self) -> float:
        """Median."""
        return median([one.seconds for one in self.rounds])

    @property
    def gigabytes_per_second(self) -> float:
        """The shape's bytes, over the median."""
        return self.bytes / self.seconds / 1e9

    @property
    def memory_ratio(self) -> float:
        """What it took of memory over what the checkpoint has; median."""
        return median([one.peak_bytes for one in self.rounds]) / self.bytes


def rows(results: Iterable[Result]) -> tuple[dict[str, Cell], ...]:
    """Return the table, in the given order."""
    return tuple(_row(result) for result in results)


def goals(results: Sequence[Result]) -> tuple[Goal, ...]:
    """Return the goals of every shape in each state that was measured."""
    found: list[Goal] = []
    for shape in dict.fromkeys(result.shape for result in results):
        for state, of_state in _GOALS.items():
            there = {one.case.name: one for one in results if (one.shape, one.case.state) == (shape, state)}
            if there:
                found += of_state(f"{shape} {state}", there)
    return tuple(found)


def _row(result: Result) -> dict[str, Cell]:
    summary = Summary.of([one.seconds for one in result.rounds])
    return {
        "way": result.case.name,
        "shape": result.shape,
        "state": result.case.state,
        "s (median)": summary.p50,
        "least": summary.least,
        "most": summary.most,
        "GB/s": result.gigabytes_per_second,
        "memory × checkpoint": result.memory_ratio,
        "runs": summary.count,
    }


Named = Mapping[str, Result]


def _cold(where: str, there: Named) -> list[Goal]:
    ours = there[INTO_MEMORY]
    limit = _fastest(there[name] for name in DIRECT_READS)
    return [
        Goal(f"{where}: share of the disk's limit", limit.seconds / ours.seconds, DISK_SHARE, ">="),
        _times_faster(where, there, COLD_FACTOR),
        _peak(where, ours),
    ]


def _warm(where: str, there: Named) -> list[Goal]:
    best = _fastest(there[name] for name in MAPS)
    return [
        Goal(f"{where}: over the best mmap ({best.case.name})", there[MAPPED].seconds / best.seconds, WARM_RATIO, "<=")
    ]


def _second(where: str, there: Named) -> list[Goal]:
    found = []
    for name in (SECOND_BY_CACHE, SECOND_BY_MEMORY):
        how = f"{where} instance {name.partition(', ')[2]}"
        found.append(Goal(f"{how}: ms", there[name].seconds * 1000, SECOND_MS, "<="))
        found.append(Goal(f"{how}: more memory × checkpoint", there[name].memory_ratio, SECOND_MEMORY_SHARE, "<="))
    return found


def _s3(where: str, there: Named) -> list[Goal]:
    ours = there[INTO_MEMORY]
    limit = _fastest(there[name] for name in RANGED_GETS)
    return [
        Goal(f"{where}: share of bare ranged GETs", limit.seconds / ours.seconds, S3_SHARE, ">="),
        _times_faster(where, there, S3_FACTOR),
        _peak(where, ours),
    ]


_GOALS = {"cold": _cold, "warm": _warm, "second": _second, "s3": _s3}


def _times_faster(where: str, there: Named, factor: float) -> Goal:
    peer = _fastest(one for one in there.values() if one.case.kind == "peer")
    return Goal(
        f"{where}: times faster than the best peer ({peer.case.name})",
        peer.seconds / there[INTO_MEMORY].seconds, factor, ">=",
    )  # fmt: skip


def _peak(where: str, ours: Result) -> Goal:
    return Goal(f"{where}: peak memory × checkpoint", ours.memory_ratio, PEAK_RATIO, "<=")


def _fastest(results: Iterable[Result]) -> Result:
    return min(results, key=lambda result: result.seconds)
