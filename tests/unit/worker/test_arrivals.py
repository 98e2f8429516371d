"""Taking invocations over on a node whose instance does, or does not do, what it is told: on a real Valkey."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from redis import Redis

from quickthaw.errors import FunctionFailed, QuickthawError
from quickthaw.types import InvocationState
from quickthaw_platform.invocations.records import History, Offer
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker.arrivals import Arrivals
from quickthaw_platform.worker.flight import Work
from quickthaw_platform.worker.instance_life import Arriving
from tests.state import announce_node, make_invocation, make_limits, make_version, start_instance


class AtOnce:
    """Stands for the loop: what is posted is done."""

    def post(self, call: Callable[[], object]) -> None:
        call()

    def ask(self, call: Callable[[], object]) -> object:
        return call()


@dataclass
class Instances:
    """Stands for the fleet, with one instance; `fails` names the step that goes wrong."""

    fails: str = ""
    not_yet: int = 0  # how many times it does not serve yet
    held: dict[str, Arriving] = field(default_factory=dict)
    served: dict[str, Work] = field(default_factory=dict)

    def hold(self, work: Work, arriving: Arriving) -> bool:
        if self.not_yet:
            self.not_yet -= 1
            return False
        self.held[work.invocation] = arriving
        if self.fails == "hold":
            arriving.lost(FunctionFailed("it cannot"))
        else:
            arriving.held()
        return True

    def extend(self, _instance: str, invocation: str, _since: History) -> None:
        self.held[invocation].held()

    def take(self, work: Work, _since: History) -> bool:
        if self.fails == "take":
            return False
        self.served[work.invocation] = work
        del self.held[work.invocation]
        return True

    def drop(self, _instance: str, invocation: str) -> None:
        self.held.pop(invocation, None)


@dataclass
class Orders:
    """Stands for the commands to nodes."""

    cancelled: list[tuple[str, str]] = field(default_factory=list)

    def cancel(self, node: str, invocation: str, *, before_epoch: int | None = None) -> None:
        self.cancelled.append((node, invocation))


class Node:
    """Two nodes with an instance each; an invocation runs on the first and is offered to the second."""

    def __init__(self, redis: Redis, settings: Settings, **instances: Any) -> None:
        self.readable = True
        self.store, self.slots = InvocationStore(redis, settings), SlotStore(redis)
        self.instances, self.orders, self.learnt = Instances(**instances), Orders(), list[tuple[int, float]]()
        version = make_version(max_instances=2, limits=make_limits(start=0.2))
        for node, instance in (("n1", "x1"), ("n2", "x2")):
            announce_node(redis, node)
            start_instance(redis, version, instance, node)
        assigned = self.store.admit(make_invocation(version, "i1")).assignment
        assert assigned is not None
        self.store.begin("i1", 1, assigned.node, assigned.instance)
        self.source = assigned.node
        self.offer = self.store.offer("i1", "x2" if assigned.instance == "x1" else "x1", 60)
        self.arrivals = Arrivals(
            cast("Any", AtOnce()), cast("Any", self.instances), cast("Any", self), self.store, cast("Any", self.orders),
            self.slots, cast("Any", self), persist=lambda change: change(),
        )  # fmt: skip

    def read(self, offer: Offer) -> Work:
        """Stand for the intake."""
        if not self.readable:
            raise QuickthawError("it cannot be read")
        limits = self.store.limits(offer.invocation)
        return Work(offer.invocation, offer.epoch, offer.instance, "f", 0, {}, limits, 0.0, 0.0)

    def moved(self, tokens: int, seconds: float) -> None:
        """Stand for the learning."""
        self.learnt.append((tokens, seconds))

    def receive(self) -> None:
        """Take the offer, twice, and wait for what comes of it."""
        self.arrivals.receive(self.offer)
        self.arrivals.receive(self.offer)
        self.arrivals._threads.shutdown(wait=True)


def test_what_was_taken_over_is_served_here_and_its_old_node_is_told(redis: Redis, platform_settings: Settings) -> None:
    node = Node(redis, platform_settings, not_yet=2)
    node.receive()
    info = node.store.get("i1")
    assert (info.state, info.epoch, info.node) == (InvocationState.RUNNING, node.offer.epoch, node.offer.node)
    assert node.instances.served["i1"].next_seq == 4  # after assigned, running, and running here
    assert node.orders.cancelled == [(node.source, "i1")]
    assert len(node.learnt) == 1
    assert not node.arrivals._known


@pytest.mark.parametrize("fails", ["hold", "take"])
def test_a_failure_leaves_the_invocation_with_its_source_or_in_the_queue(
    redis: Redis, platform_settings: Settings, fails: str
) -> None:
    node = Node(redis, platform_settings, fails=fails)
    node.receive()
    info = node.store.get("i1")
    if fails == "hold":  # it had not been told
        assert (info.state, info.node, info.epoch) == (InvocationState.RUNNING, node.source, 1)
    else:  # it was its owner already
        assert info.state is InvocationState.QUEUED
    assert not node.instances.held
    assert not node.instances.served
    assert not redis.exists("qt:moves")
    assert redis.hlen(f"qt:instance.leases:{node.offer.instance}") == 0


def test_an_instance_that_is_gone_or_does_not_start_in_time_is_waited_for_no_longer(
    redis: Redis, platform_settings: Settings
) -> None:
    late = Node(redis, platform_settings, not_yet=10**6)
    late.receive()
    assert late.store.get("i1").node == late.source
    redis.flushall()
    gone = Node(redis, platform_settings, not_yet=10**6)
    gone.slots.remove(gone.offer.instance)
    gone.receive()
    for node in (late, gone):
        assert not node.instances.held
    assert gone.store.get("i1").node == gone.source


def test_an_offer_of_what_has_ended_is_declined(redis: Redis, platform_settings: Settings) -> None:
    node = Node(redis, platform_settings)
    node.store.finish("i1", 1, InvocationState.SUCCEEDED)
    node.receive()
    assert node.store.get("i1").state is InvocationState.SUCCEEDED
    assert not node.instances.served
    assert not node.orders.cancelled


def test_what_cannot_be_read_is_declined(redis: Redis, platform_settings: Settings) -> None:
    node = Node(redis, platform_settings)
    node.readable = False
    node.receive()
    assert node.store.get("i1").node == node.source
    assert redis.hlen(f"qt:instance.leases:{node.offer.instance}") == 0
