"""Acting on a policy's decisions: reserve the instance it chose, tell the node, or tell those who wait why."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Protocol

import structlog
from redis import Redis

from quickthaw.types import Version
from quickthaw_platform.contracts import AllocationPolicy, AllocationRequest, ClusterView, Decision, Refuse, Start, Wait
from quickthaw_platform.errors import NoCapacity
from quickthaw_platform.invocations.queues import Queues
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.router.view import count_serving, read_view
from quickthaw_platform.settings import Settings

MAX_TRIES = 5
"""How often a decision is taken again because others changed the cluster meanwhile."""

_log = structlog.get_logger()


class StartCommand(Protocol):
    """What the allocator tells nodes (worker.commands.Commands)."""

    def start(self, node: str, instance: str, version_id: str) -> None:
        """Have the node start an instance that is reserved on it."""


class Allocator:
    """Starts instances for what waits. Any number of processes may do this at once."""

    def __init__(
        self, redis: Redis, slots: SlotStore, policy: AllocationPolicy, commands: StartCommand, settings: Settings
    ) -> None:
        self._redis = redis
        self._slots = slots
        self._policy = policy
        self._commands = commands
        self._settings = settings
        self._queues = Queues(redis)

    def allocate(self, version: Version, *, ahead: bool = False) -> Decision:
        """Start an instance of `version` if the policy finds it right; returns what came of it.

        What waits is told the reason; a refusal ends it with NoCapacity. One call starts at most one instance: call
        again while something waits. `ahead`: start one though nothing needs it yet.
        """
        request = self._request(version)
        for _ in range(MAX_TRIES):
            view = read_view(self._redis)
            decision = self._policy.choose(request, _in_demand(view, version) if ahead else view)
            match decision:
                case Start():
                    if self._start(version, decision, request.memory_bytes, count_serving(view, version.id)):
                        return decision
                case Wait(reason=reason, estimate_seconds=estimate):
                    self._queues.explain(version.id, reason, estimate)
                    return decision
                case Refuse(reason=reason):
                    self._queues.fail_waiting(version.id, NoCapacity(reason))
                    return decision
        return self._lost_every_race(version)

    def _request(self, version: Version) -> AllocationRequest:
        spec = version.spec
        return AllocationRequest(
            function=version.function,
            version=version.id,
            checkpoint=version.checkpoint,
            memory_bytes=self._settings.instance_memory if spec.memory is None else spec.memory,
            concurrency=spec.concurrency,
            max_instances=spec.max_instances,
        )

    def _start(self, version: Version, decision: Start, memory_bytes: int, serving: int) -> bool:
        """Reserve and command; should this process die in between, the controller commands again."""
        instance = f"{version.function}-{secrets.token_hex(4)}"
        if not self._slots.reserve(version, decision.node, instance, memory_bytes, serving=serving):
            return False
        reason = f"an instance is starting on node {decision.node}"
        self._queues.explain(version.id, reason, decision.estimate_seconds)
        self._commands.start(decision.node, instance, version.id)
        _log.info("instance starts", instance=instance, function=version.function, node=decision.node)
        return True

    def _lost_every_race(self, version: Version) -> Wait:
        decision = Wait("the cluster is changing; trying again shortly")
        self._queues.explain(version.id, decision.reason)
        return decision


def _in_demand(view: ClusterView, version: Version) -> ClusterView:
    """Return the view with more waiting for the version than its instances have slots."""
    slots = sum(instance.concurrency for instance in view.instances if instance.version == version.id)
    return replace(view, waiting={**view.waiting, version.id: slots + 1})
