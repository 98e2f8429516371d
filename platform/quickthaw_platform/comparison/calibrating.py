"""From what was measured to what the simulator is told of this machine. Pure.

A warm request's first token takes `first_token_seconds + tokens_in / prefill_tokens_per_second`, and each further one
`(1 + slowdown_per_stream × others) / decode_tokens_per_second`, where `others` is how many other requests ran beside it
on average. Both lines are fitted by least squares. A start takes what the first request that waited for it took longer
than a warm one would have, and its recorded stages at least: the others of a burst waited for each other too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.comparison.recording import Calibration
from quickthaw_platform.traffic.result import RequestResult

LEAST_REQUESTS = 8
LEAST_SECONDS = 1e-3
QUEUE, PREFILL = "queue", "prefill"
"""Stages of a request; all others are of the start that it waited for."""

OWN_STAGES = frozenset({"tokenizer", "skeleton", "weights"})
"""Stages that only a start without a template has."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Line:
    """`offset + slope × x`; neither is negative."""

    offset: float
    slope: float

    def at(self, x: float) -> float:
        return self.offset + self.slope * x


def calibrate(results: Sequence[RequestResult]) -> Calibration | None:
    """Fit the figures to a run's answered requests of quickthaw's own backends; None where there are too few warm."""
    answered = [result for result in results if result.error is None and result.ttft is not None]
    others = dict(zip(map(_key, answered), _others(answered), strict=True))
    warm = [result for result in answered if result.cold is False]
    alone = [result for result in warm if others[_key(result)] < 0.5]
    firsts = alone if len(alone) >= LEAST_REQUESTS else warm
    if len(firsts) < LEAST_REQUESTS:
        return None
    first = _fit([_size(result) for result in firsts], [_service_ttft(result) for result in firsts])
    streams = [result for result in warm if result.gaps]
    token = _fit([others[_key(result)] for result in streams], [result.tpot or 0.0 for result in streams])
    base = max(LEAST_SECONDS, token.offset)
    return Calibration(
        start_seconds=_starts(answered, first),
        first_token_seconds=first.offset,
        prefill_tokens_per_second=1 / max(first.slope, 1e-6),
        decode_tokens_per_second=1 / base,
        slowdown_per_stream=token.slope / base,
        stop=0.1,
    )


def way_of(result: RequestResult) -> str:
    """Return where the start that a request waited for found its weights: `template` where there was one already."""
    if OWN_STAGES.isdisjoint(result.stages):
        return "template"
    return result.tier or "disk"


def _starts(answered: Sequence[RequestResult], first: _Line) -> dict[str, float]:
    taken: defaultdict[str, list[float]] = defaultdict(list)
    seen: set[object] = set()
    for result in sorted(answered, key=lambda one: (one.backend, one.repeat, one.intended)):
        own = {stage: took for stage, took in result.stages.items() if stage not in (QUEUE, PREFILL)}
        start = (result.backend, result.repeat, *own.items())
        if result.cold and result.ttft is not None and start not in seen:
            seen.add(start)
            longer = result.ttft - first.at(_size(result))
            taken[way_of(result)].append(max(LEAST_SECONDS, sum(own.values()), longer))
    return {way: median(seconds) for way, seconds in taken.items()}


def _fit(x: Sequence[float], y: Sequence[float]) -> _Line:
    """Fit a line with neither a negative offset nor a negative slope; where all x are alike it is level."""
    if not y:
        return _Line(0.0, 0.0)
    columns, values = np.array(x, float), np.array(y, float)
    if float(np.ptp(columns)) < 1e-9:
        return _Line(float(np.median(values)), 0.0)
    slope, offset = np.polyfit(columns, values, 1)
    if offset < 0:
        return _Line(0.0, float((columns @ values) / (columns @ columns)))
    return _Line(float(offset), float(slope)) if slope > 0 else _Line(float(np.median(values)), 0.0)


def _size(result: RequestResult) -> float:
    return float(result.tokens_in if result.prompt_tokens is None else result.prompt_tokens)


def _service_ttft(result: RequestResult) -> float:
    """Return the seconds to the first token without those spent in the queue."""
    return max(LEAST_SECONDS, (result.ttft or 0.0) - (result.queue or 0.0))


def _key(result: RequestResult) -> tuple[str, int, int]:
    return result.backend, result.repeat, result.number


def _others(results: Sequence[RequestResult]) -> Floats:
    """Return how many other requests of the same block ran beside each one, on average over its time."""
    blocks: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for index, result in enumerate(results):
        blocks[result.backend, result.repeat].append(index)
    found = np.zeros(len(results))
    for rows in blocks.values():
        begin = np.array([results[row].sent for row in rows])
        end = np.array([results[row].end for row in rows])
        shared = np.minimum(end[:, None], end[None, :]) - np.maximum(begin[:, None], begin[None, :])
        beside = np.maximum(0.0, shared).sum(axis=1) - (end - begin)
        found[rows] = beside / np.maximum(end - begin, LEAST_SECONDS)
    return found
