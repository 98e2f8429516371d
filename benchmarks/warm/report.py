"""Turns what the warm benchmark measured into rows and goals. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.peers.generate_batch import GenerateBatch
from benchmarks.peers.static_batch import StaticBatch
from benchmarks.report import Cell, Goal, Report
from benchmarks.sse import Stream
from benchmarks.stats import Summary, median

PLATFORM = "quickthaw"
ENGINE = "engine in process"
BATCH = 8

ADDED_P50_MS = 5.0
ADDED_P99_MS = 20.0
TOKEN_RATIO = 1.02
CONTINUOUS_FACTOR = 3.0
STATIC_FACTOR = 0.95


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one way at one number of streams: to the first token, for each further one, between two texts."""

    way: str
    streams: int
    first_ms: Summary
    token_ms: Summary
    gap_ms: Summary

    @classmethod
    def of(cls, way: str, count: int, streams: Iterable[Stream]) -> Latency:
        """Summarise all streams of all waves."""
        streams = tuple(streams)
        first = [stream.first_token_seconds * 1000 for stream in streams]
        each = [stream.seconds_per_token * 1000 for stream in streams]
        gaps = [gap * 1000 for stream in streams for gap in stream.gaps]
        return cls(way, count, Summary.of(first), Summary.of(each), Summary.of(gaps))


@dataclass(frozen=True, slots=True)
class Throughput:
    """Tokens per second of one way with `BATCH` streams, one value a round."""

    way: str
    dtype: str
    tokens_per_second: tuple[float, ...]


def report(latencies: Sequence[Latency], throughputs: Sequence[Throughput], settings: Mapping[str, object]) -> Report:
    """Evaluate both parts."""
    rows = (*(_latency_row(one) for one in latencies), *(_throughput_row(one) for one in throughputs))
    return Report("warm", rows, (*_latency_goals(latencies), *_throughput_goals(throughputs)), settings)


def _latency_goals(latencies: Sequence[Latency]) -> list[Goal]:
    by_key = {(one.way, one.streams): one for one in latencies}
    goals = []
    for count in sorted({one.streams for one in latencies}):
        ours, engine = by_key[PLATFORM, count], by_key[ENGINE, count]
        added_p50 = ours.first_ms.p50 - engine.first_ms.p50
        added_p99 = ours.first_ms.p99 - engine.first_ms.p99
        goals += [
            Goal(f"{count} streams: added to first token, p50 (ms)", added_p50, ADDED_P50_MS, "<="),
            Goal(f"{count} streams: added to first token, p99 (ms)", added_p99, ADDED_P99_MS, "<="),
            Goal(
                f"{count} streams: time for each further token, p50, over the engine's",
                ours.token_ms.p50 / engine.token_ms.p50,
                TOKEN_RATIO,
                "<=",
            ),
        ]
    return goals


def _throughput_goals(throughputs: Sequence[Throughput]) -> list[Goal]:
    middle = {(one.way, one.dtype): median(one.tokens_per_second) for one in throughputs}
    bounds = ((GenerateBatch.name, CONTINUOUS_FACTOR), (StaticBatch.name, STATIC_FACTOR))
    return [
        Goal(
            f"{dtype}: tokens/s at {BATCH} streams over {peer}",
            middle[PLATFORM, dtype] / middle[peer, dtype],
            bound,
            ">=",
        )
        for dtype in dict.fromkeys(one.dtype for one in throughputs)
        for peer, bound in bounds
    ]


def _latency_row(one: Latency) -> dict[str, Cell]:
    return _row(
        one.way,
        one.streams,
        "auto",
        first_p50=one.first_ms.p50,
        first_p99=one.first_ms.p99,
        token_p50=one.token_ms.p50,
        gap_p99=one.gap_ms.p99,
        samples=one.first_ms.count,
    )


def _throughput_row(one: Throughput) -> dict[str, Cell]:
    return _row(one.way, BATCH, one.dtype, rate=median(one.tokens_per_second), samples=len(one.tokens_per_second))


def _row(
    way: str,
    streams: int,
    dtype: str,
    samples: int,
    first_p50: float | None = None,
    first_p99: float | None = None,
    token_p50: float | None = None,
    gap_p99: float | None = None,
    rate: float | None = None,
) -> dict[str, Cell]:
    return {
        "way": way,
        "streams": streams,
        "dtype": dtype,
        "first token p50 ms": first_p50,
        "p99": first_p99,
        "further token p50 ms": token_p50,
        "between texts p99 ms": gap_p99,
        "tokens/s": rate,
        "samples": samples,
    }
