"""Beginning a move: where a running invocation is to go, and telling that node."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import structlog

from quickthaw.types import InvocationInfo, InvocationState, Version
from quickthaw_platform.contracts import ClusterView, InstanceState, InstanceView, Move, NodeState, Start
from quickthaw_platform.errors import Conflict, NodeNotFound, NotFound
from quickthaw_platform.invocations.records import Offer
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.router.allocator import Allocator

GRACE_SECONDS = 60.0
"""What an offer lasts beyond the start limit of its invocation: time for the rounds."""

_ORDER = {InstanceState.READY: 0, InstanceState.LOADED: 1, InstanceState.STARTING: 2}

_log = structlog.get_logger()


class Versions(Protocol):
    """What is asked of the registry (registry.functions.FunctionRegistry)."""

    def version(self, identity: str) -> Version:
        """Return a version; VersionNotFound."""


class Orders(Protocol):
    """What nodes are told (worker.commands.Commands)."""

    def receive(self, offer: Offer) -> None:
        """Take over what is offered."""


class Mover:
    """Any process may have one. Every method raises Unavailable when Redis is away."""

    def __init__(self, store: InvocationStore, allocator: Allocator, versions: Versions, orders: Orders) -> None:
        self._store = store
        self._allocator = allocator
        self._versions = versions
        self._orders = orders
        allocator.move = self.follow

    def move(self, invocation: str, view: ClusterView, node: str | None = None) -> Offer:
        """Offer a running invocation to an instance on another node (`node`, where given); one is started if need be.

        Returns at once; it stays where it is until the other is ready. Conflict says what forbids it, NodeNotFound.
        """
        info = self._store.get(invocation)
        nodes = _nodes(info, view, node)
        version = self._versions.version(info.version)
        self._store.check_movable(invocation)  # before an instance is started for it in vain
        found = best_instance(version.id, view.instances, nodes)
        instance = self._started(version, nodes) if found is None else found.id
        limits = self._store.limits(invocation)
        offer = self._store.offer(invocation, instance, limits.start + GRACE_SECONDS)
        self._orders.receive(offer)
        _log.info("invocation moves", invocation=invocation, source=info.node, to=offer.node, instance=instance)
        return offer

    def follow(self, move: Move) -> None:
        """Begin a move that the allocation policy decided on; one that has become impossible is left out."""
        try:
            self.move(move.invocation, self._allocator.view(), move.to_node)
        except (Conflict, NotFound) as error:
            _log.info("a move is left out", invocation=move.invocation, to=move.to_node, why=error.message)

    def _started(self, version: Version, nodes: Collection[str]) -> str:
        decision, instance = self._allocator.start_elsewhere(version, nodes)
        if not isinstance(decision, Start) or not instance:
            why = decision.reason if not isinstance(decision, Start) else "the cluster is changing; try again shortly"
            raise Conflict(f"no instance of {version.function!r} can start there: {why}")
        return instance


def best_instance(version: str, instances: Sequence[InstanceView], nodes: Collection[str]) -> InstanceView | None:
    """Return the instance on one of `nodes` that can take an invocation over soonest; None: none has a free slot."""
    able = [
        i
        for i in instances
        if i.version == version and i.node in nodes and i.state in _ORDER and i.in_use < i.concurrency
    ]
    return min(able, key=lambda i: (_ORDER[i.state], i.in_use / i.concurrency, i.id), default=None)


def _nodes(info: InvocationInfo, view: ClusterView, node: str | None) -> set[str]:
    """Return the nodes that it may go to."""
    if info.state is not InvocationState.RUNNING:
        raise Conflict(f"invocation {info.id} is {info.state.value}; only what runs can move")
    ready = {found.id for found in view.nodes if found.state is NodeState.READY}
    if node is not None and node not in {found.id for found in view.nodes}:
        raise NodeNotFound.named(node, {found.id: found for found in view.nodes})
    if node is not None and node == info.node:
        raise Conflict(f"invocation {info.id} runs on node {node}")
    if node is not None and node not in ready:
        raise Conflict(f"node {node} is draining; it takes nothing new")
    others = ({node} if node is not None else ready) - {info.node}
    if not others:
        raise Conflict(f"there is no other node that invocation {info.id} could move to")
    return others
