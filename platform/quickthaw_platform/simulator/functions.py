"""A function as the platform knows it: its traffic, and what was learnt of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import cast

from quickthaw.types import FunctionSpec, Limits, Version
from quickthaw_platform.averages import Average
from quickthaw_platform.contracts import FunctionStats, IdleHistory, Keep, KeepAlivePolicy, Way
from quickthaw_platform.router.estimator import usual_start_seconds
from quickthaw_platform.router.view import LEAST_SPAN_SECONDS
from quickthaw_platform.simulator.scenario import FunctionGroup
from quickthaw_platform.worker.learning import MIN_INIT_SECONDS

GAPS = 200
CALLS = 16
"""So many of the latest are kept, as in Redis (invocations/prelude.lua)."""

ALWAYS_SECONDS = 1e9


class Function:
    """Reads like `contracts.FunctionStats`, but follows the clock: the cluster is given it as such."""

    def __init__(self, name: str, group: FunctionGroup, clock: Callable[[], float]) -> None:
        self.name = name
        self.size = group.checkpoint
        self.memory = group.memory
        self.start_limit = group.start_limit
        self.version = _version(name, group)
        self.init_seconds: dict[Way, float] = {}
        self.service_seconds: float | None = None
        self.weight = group.weight
        self.min_instances = group.min_instances
        self.live = 0
        self.idle_since: float | None = None
        self.prewarm_planned: float | None = None  # the `idle_since` for which it is
        self._clock = clock
        self._gaps: deque[float] = deque(maxlen=GAPS)
        self._calls: deque[float] = deque(maxlen=CALLS)
        self._init: dict[Way, Average] = {}
        self._service: Average | None = None
        self._kept: tuple[float, Keep] | None = None

    @property
    def checkpoint(self) -> str:
        """The id of its checkpoint: it has one of its own."""
        return self.version.checkpoint

    @property
    def calls_per_second(self) -> float:
        """Its latest rate."""
        if not self._calls:
            return 0.0
        return len(self._calls) / max(LEAST_SPAN_SECONDS, self._clock() - self._calls[0])

    def stats(self) -> FunctionStats:
        """Return itself, as the record that policies read."""
        return cast("FunctionStats", self)

    def called(self, now: float) -> None:
        """Count a call that was accepted."""
        self.live += 1
        self._calls.append(now)
        if self.idle_since is not None:
            self._gaps.append(now - self.idle_since)
            self.idle_since = self._kept = None

    def ended(self, now: float) -> None:
        """Count a call that has ended, however."""
        self.live -= 1
        if not self.live:
            self.idle_since = now

    def learn_init(self, way: Way, seconds: float) -> None:
        """Take in what a start took beyond its load."""
        seconds = max(MIN_INIT_SECONDS, seconds)
        known = self._init.get(way)
        average = self._init[way] = Average.of(seconds) if known is None else known.with_sample(seconds)
        self.init_seconds[way] = average.value

    def learn_service(self, seconds: float) -> None:
        """Take in how long a call held its slot."""
        if seconds > 0:
            self._service = Average.of(seconds) if self._service is None else self._service.with_sample(seconds)
            self.service_seconds = self._service.value

    def keep(self, policy: KeepAlivePolicy) -> Keep:
        """Return how long its idle instances are kept; the answer holds while nobody calls it."""
        if self._kept is not None and self._kept[0] == self.idle_since:
            return self._kept[1]
        keep = policy.keep(
            IdleHistory(self.version.spec.keep_alive, tuple(self._gaps), usual_start_seconds(self.stats()))
        )
        if self.idle_since is not None:
            self._kept = (self.idle_since, keep)
        return keep


def _version(name: str, group: FunctionGroup) -> Version:
    limit = ALWAYS_SECONDS if group.start_limit is None else group.start_limit
    spec = FunctionSpec(
        name=name, model=name, engine="simulated", keep_alive=group.keep_alive, min_instances=group.min_instances,
        max_instances=group.max_instances, concurrency=group.concurrency, queue_size=group.queue_size,
        limits=Limits(start=limit), memory=group.memory, labels=group.labels, spread=group.spread, weight=group.weight,
    )  # fmt: skip
    return Version(id=f"{name}@1", function=name, number=1, checkpoint=name, created_at=0.0, spec=spec)
