"""Acting on a policy's decisions: reserve the instance it chose, tell the node, or tell those who wait why."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from quickthaw.types import Version
from quickthaw_platform import plugins
from quickthaw_platform.cage.levels import demanded
from quickthaw_platform.contracts import (
    AllocationPolicy,
    AllocationRequest,
    ClusterView,
    Decision,
    Move,
    Refuse,
    Start,
    Wait,
)
from quickthaw_platform.router.view import count_serving
from quickthaw_platform.router.view_table import table_of

MAX_TRIES = 5
"""How often a decision is taken again because others changed the cluster meanwhile."""

_log = structlog.get_logger()


class Cluster(Protocol):
    """The state that decisions rest on and change: in Redis (router.cluster) or in memory (invocations.memory)."""

    def view(self, function: str | None = None) -> ClusterView:
        """Return the cluster as it is at this moment; `function` is among those told of."""

    def reserve(
        self, version: Version, start: Start, instance: str, memory_bytes: int, checkpoint_bytes: int, serving: int
    ) -> bool:
        """Make the record of an instance that is to start as `start` says; False, and nothing, where that is out of
        date: `serving` is how many instances of the version the decision rests on.
        """

    def drain(self, instance: str, room_for: str) -> bool:
        """Lease the instance's slots no more, and keep its room for a version that waits; False: there is none such."""

    def explain(
        self,
        version: str,
        reason: str,
        estimate_seconds: float | None = None,
        slots: int = 0,
        service_seconds: float | None = None,
    ) -> None:
        """Say why the version's queue waits, when it should be served, and how fast it moves from then on."""

    def fail_waiting(self, version: str, reason: str) -> Sequence[str]:
        """Fail all that waits for the version, as there is no capacity; returns the ids."""


class NodeOrders(Protocol):
    """What the allocator tells nodes (worker.commands.Commands). Each may be told twice."""

    def start(self, node: str, instance: str, version_id: str) -> None:
        """Have the node start an instance that is reserved on it."""

    def stop(self, node: str, instance: str) -> None:
        """Have the node stop an instance when what runs on it has ended."""


class Notes(Protocol):
    """Where decisions are noted for people (router.decisions)."""

    def note(self, version_id: str, decision: Decision, instance: str | None) -> None:
        """Keep a decision; `instance` is what it started."""


class Allocator:
    """Starts instances for what waits. Any number of processes may do this at once."""

    def __init__(
        self,
        cluster: Cluster,
        policy: AllocationPolicy,
        orders: NodeOrders,
        *,
        instance_memory: int,
        checkpoint_bytes: Callable[[str], int],
        notes: Notes | None = None,
        move: Callable[[Move], None] | None = None,
    ) -> None:
        """`instance_memory` is reserved for instances whose deploy names none; `checkpoint_bytes` takes an id.

        `move` begins to move a running invocation; None: policies are not told that any could.
        """
        self._cluster = cluster
        self._policy = policy
        self._orders = orders
        self._instance_memory = instance_memory
        self._checkpoint_bytes = checkpoint_bytes
        self._notes = notes
        self.move = move

    def allocate(self, version: Version, *, ahead: bool = False) -> Decision:
        """Start an instance of `version` if the policy finds it right; returns what came of it.

        What waits is told the reason; a refusal ends it. One call starts at most one instance: call again while
        something waits. `ahead`: start one though nothing needs it yet.
        """
        request = self._request(version, ahead)
        for _ in range(MAX_TRIES):
            view = self._view(version)
            decision = self._policy.choose(request, _in_demand(view, version) if ahead else view)
            instance = self._act(version, request, decision, view)
            if instance is not None:
                if self._notes is not None:
                    self._notes.note(version.id, decision, instance or None)
                return decision
        decision = Wait("the cluster is changing; trying again shortly")
        self._cluster.explain(version.id, decision.reason)
        return decision

    def view(self) -> ClusterView:
        """Return the cluster as it is now."""
        return self._cluster.view()

    def start_elsewhere(self, version: Version, nodes: Collection[str]) -> tuple[Decision, str]:
        """Start one more instance of `version` on one of `nodes`, beside those that it may have: what runs is to move.

        Returns the decision, and the instance ('': none starts).
        """
        most = version.spec.max_instances + 1
        version = version.model_copy(update={"spec": version.spec.model_copy(update={"max_instances": most})})
        request = self._request(version, ahead=True)
        decision: Decision = Wait("the cluster is changing; try again shortly")
        for _ in range(MAX_TRIES):
            view = replace(self._cluster.view(version.function), migration=None)
            serving = count_serving(view, version.id)
            if serving >= most:
                return Wait(f"it has {serving} instances, and only one may run beyond max_instances while it moves"), ""
            there = replace(view, nodes=[node for node in view.nodes if node.id in nodes], memo={})
            decision = self._policy.choose(request, _in_demand(there, version))
            if not isinstance(decision, Start):
                return decision, ""
            instance = self._start(version, request, decision, view)
            if instance is not None:
                return decision, instance
        return decision, ""

    def _view(self, version: Version) -> ClusterView:
        view = self._cluster.view(version.function)
        return view if self.move is not None else replace(view, migration=None)

    def _request(self, version: Version, ahead: bool) -> AllocationRequest:
        spec = version.spec
        on_demand = ahead or plugins.serving_backend(spec.backend).starts_on_demand
        return AllocationRequest(
            function=version.function,
            version=version.id,
            checkpoint=version.checkpoint,
            memory_bytes=self._memory_bytes(version),
            concurrency=spec.concurrency,
            max_instances=spec.max_instances if on_demand else max(1, spec.min_instances),
            checkpoint_bytes=self._checkpoint_bytes(version.checkpoint),
            device=spec.device,
            labels=spec.labels,
            isolation=demanded(spec),
            spread=spec.spread,
            weight=spec.weight,
            ahead=ahead,
        )

    def _memory_bytes(self, version: Version) -> int:
        """Return what an instance reserves: for handler and KV cache, and for its own copy of the adapter."""
        own = self._instance_memory if version.spec.memory is None else version.spec.memory
        return own + (0 if version.adapter_checkpoint is None else self._checkpoint_bytes(version.adapter_checkpoint))

    def _act(self, version: Version, request: AllocationRequest, decision: Decision, view: ClusterView) -> str | None:
        """Do what was decided; returns the instance that starts, '' for none; None: the decision was out of date."""
        match decision:
            case Start():
                return self._start(version, request, decision, view)
            case Wait():
                self._explain(version, decision.reason, decision.estimate_seconds, view)
                for instance in decision.drain:
                    self._give_way(instance, version, view)
                if self.move is not None:
                    for move in decision.moves:
                        self.move(move)
            case Refuse():
                self._cluster.fail_waiting(version.id, decision.reason)
        return ""

    def _start(self, version: Version, request: AllocationRequest, start: Start, view: ClusterView) -> str | None:
        """Reserve and command; should this process die in between, the controller commands again."""
        instance = f"{version.function}-{secrets.token_hex(4)}"
        serving = count_serving(view, version.id)
        sizes = request.memory_bytes, request.checkpoint_bytes
        if not self._cluster.reserve(version, start, instance, *sizes, serving):
            return None
        for leaving in start.retire:
            self._orders.stop(start.node, leaving)
        self._explain(version, f"an instance is starting on node {start.node}", start.estimate_seconds, view)
        self._orders.start(start.node, instance, version.id)
        _log.info("instance starts", instance=instance, function=version.function, node=start.node, way=start.way)
        return instance

    def _give_way(self, instance: str, version: Version, view: ClusterView) -> None:
        node = next((found.node for found in view.instances if found.id == instance), None)
        if node is not None and self._cluster.drain(instance, version.id):
            self._orders.stop(node, instance)
            _log.info("instance gives way", instance=instance, node=node, function=version.function)

    def _explain(self, version: Version, reason: str, estimate_seconds: float | None, view: ClusterView) -> None:
        stats = view.functions.get(version.function)
        service_seconds = None if stats is None else stats.service_seconds
        slots = version.spec.concurrency * max(1, count_serving(view, version.id))
        self._cluster.explain(version.id, reason, estimate_seconds, slots, service_seconds)


def _in_demand(view: ClusterView, version: Version) -> ClusterView:
    """Return the view with more waiting for the version than its instances have slots."""
    slots = sum(instance.concurrency for instance in table_of(view).version_instances(version.id))
    return replace(view, waiting={**view.waiting, version.id: slots + 1})
