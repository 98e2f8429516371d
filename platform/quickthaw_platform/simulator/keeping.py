"""Idle instances go, and come back ahead of calls, as the keep-alive policy says: each is looked at when it is due."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from quickthaw_platform.contracts import InstanceState, Keep, KeepAlivePolicy
from quickthaw_platform.simulator.functions import Function
from quickthaw_platform.simulator.world import Instance, World

SOON_SECONDS = 1e-6


@dataclass(slots=True, eq=False)
class Keeping:
    """What `controller.keep_alive` does round after round, without looking at all instances each time."""

    world: World
    policy: KeepAlivePolicy
    stop: Callable[[str, str], None]
    start_ahead: Callable[[Function], None]

    def watch(self, instance: Instance) -> None:
        """Look at an idle instance from the next round on."""
        if not instance.checking:
            instance.checking = True
            self._look_at(instance, self.world.events.now + self.world.scenario.round)

    def _look_at(self, instance: Instance, time: float) -> None:
        """Look again then, and not at this very moment, which rounding may make of it: that would never end."""
        if math.isfinite(time):
            self.world.events.at(max(time, self.world.events.now + SOON_SECONDS), self._check, instance)
        else:
            instance.checking = False

    def _check(self, instance: Instance) -> None:
        instance.checking = False
        if instance.gone or instance.stopping or instance.leases or instance.node.dead:
            return
        now, function = self.world.events.now, instance.function
        keep = function.keep(self.policy)
        self._plan_prewarming(function, keep)
        instance.checking = True
        due = instance.since + keep.seconds
        if due > now + SOON_SECONDS:
            self._look_at(instance, due)
        elif self.world.cluster.retire(instance.id, keep=self._wanted(function, keep)):
            self.stop(instance.node.id, instance.id)
        else:
            self._look_at(instance, self._later(function, keep))

    def _wanted(self, function: Function, keep: Keep) -> int:
        return max(function.min_instances, int(self._wants_one(function, keep)))

    def _wants_one(self, function: Function, keep: Keep) -> bool:
        return function.idle_since is not None and keep.wants_one(self.world.events.now - function.idle_since)

    def _later(self, function: Function, keep: Keep) -> float:
        """Return when one that is wanted now may not be any more; never where it is one of the minimum."""
        if function.idle_since is not None and self._wants_one(function, keep):
            return function.idle_since + keep.prewarm_until
        return math.inf

    def _plan_prewarming(self, function: Function, keep: Keep) -> None:
        since = function.idle_since
        if since is None or keep.prewarm_after is None or function.prewarm_planned == since:
            return
        function.prewarm_planned = since
        self.world.events.at(max(self.world.events.now, since + keep.prewarm_after), self._prewarm, function, since)

    def _prewarm(self, function: Function, since: float) -> None:
        serving = self.world.cluster.versions[function.version.id].values()
        if function.idle_since == since and all(i.state is InstanceState.DRAINING for i in serving):
            self.start_ahead(function)
