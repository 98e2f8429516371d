"""How many instances a version's concurrency asks for. Pure.

Knative's pod autoscaler (KPA): instances follow the average over a stable window. When the short panic window asks for
twice as many as are ready, they follow that one, and nothing shrinks, until the panic is a stable window old.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quickthaw.types import FunctionSpec

STABLE_SECONDS = 60.0
PANIC_SECONDS = 6.0
PANIC_RATIO = 2.0


@dataclass(frozen=True, slots=True)
class Sample:
    """A version's concurrency at one moment: calls that are served and calls that wait."""

    seconds_ago: float
    concurrency: int
    asked: int = 0  # instances that the panic window asked for
    panic: bool = False  # these were PANIC_RATIO times as many as were ready


def sample(before: Sequence[Sample], concurrency: int, spec: FunctionSpec, ready: int) -> Sample:
    """Return the sample of now. `before` are the former ones, oldest first; `ready` instances take new calls."""
    now = Sample(0.0, concurrency)
    asked = _instances(_average((*before, now), PANIC_SECONDS), spec)
    return Sample(0.0, concurrency, asked, asked >= PANIC_RATIO * max(1, ready))


def wanted(samples: Sequence[Sample], spec: FunctionSpec) -> int:
    """Return how many instances there should be, by samples of which the last is of now (none: never called).

    A version that nobody calls at the moment is left to the keep-alive policy: `min_instances`.
    """
    if not samples or samples[-1].concurrency == 0:
        return _bounded(0, spec)
    first_panic = max((s.seconds_ago for s in samples if s.panic and s.seconds_ago <= STABLE_SECONDS), default=-1.0)
    most = max((s.asked for s in samples if s.seconds_ago <= first_panic), default=0)
    return _bounded(max(most, _instances(_average(samples, STABLE_SECONDS), spec)), spec)


def _average(samples: Iterable[Sample], window_seconds: float) -> float:
    """Return the mean over the window: what was sampled holds until the next sample, before the first nothing ran."""
    total = 0.0
    previous: Sample | None = None
    for current in samples:
        if previous is not None:
            held = min(previous.seconds_ago, window_seconds) - min(current.seconds_ago, window_seconds)
            total += previous.concurrency * held
        previous = current
    return total / window_seconds


def _instances(concurrency: float, spec: FunctionSpec) -> int:
    return math.ceil(concurrency / (spec.target_utilisation * spec.concurrency))


def _bounded(number: int, spec: FunctionSpec) -> int:
    return min(max(number, spec.min_instances), spec.max_instances)
