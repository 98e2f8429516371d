"""Where a running invocation may go, and that its node is told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import cast

import pytest

from quickthaw.types import InvocationInfo, InvocationState, Limits, Version
from quickthaw_platform.contracts import (
    ClusterView,
    Decision,
    InstanceState,
    InstanceView,
    Move,
    NodeState,
    NodeView,
    Start,
    Wait,
)
from quickthaw_platform.errors import Conflict, InvocationNotFound, NodeNotFound
from quickthaw_platform.invocations.records import Offer
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.migration.moving import GRACE_SECONDS, Mover, best_instance
from quickthaw_platform.router.allocator import Allocator
from tests.recording import RecordingCommands
from tests.state import make_limits, make_version

VERSION = make_version("v1")
READY = InstanceView(
    id="x1", function="f", version="v1", node="n1", state=InstanceState.READY, concurrency=4, in_use=1,
    memory_bytes=1, idle_seconds=0.0,
)  # fmt: skip
NODE = NodeView("n1", NodeState.READY, "cpu", 1, 1, frozenset(), frozenset())


def beside(identity: str, **fields: object) -> InstanceView:
    """An instance like READY on n2, but for some fields."""
    return replace(READY, **{"id": identity, "node": "n2", **fields})  # type: ignore[arg-type]


STARTING, LOADED = InstanceState.STARTING, InstanceState.LOADED


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ([], None),
        ([READY], None),  # not on a node that it may go to
        ([beside("x2", in_use=4)], None),  # full
        ([beside("x2", state=InstanceState.DRAINING)], None),
        ([beside("x2", version="v2")], None),
        ([beside("x2", state=STARTING), beside("x3", state=LOADED, in_use=3), beside("x4", in_use=3)], "x4"),  # soonest
        ([beside("x2", state=STARTING), beside("x3", state=LOADED, in_use=3)], "x3"),
        ([beside("x2", state=STARTING)], "x2"),  # rather than another start
        ([beside("x2", in_use=2), beside("x3", in_use=3, concurrency=8)], "x3"),  # by the share that is in use
        ([beside("x3"), beside("x2", node="n3")], "x2"),  # the same every time
    ],
)
def test_the_instance_that_can_take_it_soonest_is_chosen(instances: list[InstanceView], expected: str | None) -> None:
    found = best_instance("v1", instances, {"n2", "n3"})
    assert (found.id if found else None) == expected


class FakeStore:
    """One invocation, `i`, that runs on n1."""

    def __init__(self) -> None:
        self.info = InvocationInfo(
            id="i", function="f", version="v1", state=InvocationState.RUNNING, epoch=1, node="n1", instance="x1",
            created_at=1.0,
        )  # fmt: skip
        self.offered: list[tuple[str, float]] = []
        self.forbids = ""

    def get(self, identity: str) -> InvocationInfo:
        if identity != "i":
            raise InvocationNotFound(identity)
        return self.info

    def limits(self, identity: str) -> Limits:
        return make_limits(start=30)

    def check_movable(self, identity: str) -> None:
        if self.forbids:
            raise Conflict(self.forbids)

    def offer(self, identity: str, instance: str, patience_seconds: float) -> Offer:
        self.offered.append((instance, patience_seconds))
        return Offer(identity, 2, instance, "n2")


class FakeAllocator:
    """Starts x9, or what it is told to do."""

    def __init__(self) -> None:
        self.answer: tuple[Decision, str] = (Start("n2"), "x9")
        self.asked: list[set[str]] = []
        self.move: object = None
        self.known = ClusterView([], [])

    def view(self) -> ClusterView:
        return self.known

    def start_elsewhere(self, version: Version, nodes: Collection[str]) -> tuple[Decision, str]:
        assert version == VERSION
        self.asked.append(set(nodes))
        return self.answer


class KnownVersions:
    def version(self, identity: str) -> Version:
        assert identity == VERSION.id
        return VERSION


class Harness:
    def __init__(self) -> None:
        self.store, self.allocator, self.orders = FakeStore(), FakeAllocator(), RecordingCommands()
        self.mover = Mover(
            cast("InvocationStore", self.store), cast("Allocator", self.allocator), KnownVersions(), self.orders
        )

    def move(self, *instances: InstanceView, node: str | None = None, **states: NodeState) -> Offer:
        """Move `i`; the nodes are n1, n2 and n3, ready unless told otherwise."""
        nodes = [replace(NODE, id=name, state=states.get(name, NodeState.READY)) for name in ("n1", "n2", "n3")]
        return self.mover.move("i", ClusterView(nodes, instances), node)

    def assert_nothing_happened(self) -> None:
        assert (self.allocator.asked, self.store.offered, self.orders.sent) == ([], [], [])


@pytest.fixture
def h() -> Harness:
    return Harness()


def test_it_is_offered_to_an_instance_that_is_there_and_its_node_is_told(h: Harness) -> None:
    assert h.move(READY, beside("x2")) == Offer("i", 2, "x2", "n2")
    assert h.store.offered == [("x2", 30 + GRACE_SECONDS)]
    assert h.orders.sent == [("receive", "n2", "x2", "i")]
    assert h.allocator.asked == []


def test_without_one_it_is_started_on_any_other_node_that_takes_something_new(h: Harness) -> None:
    h.move(READY, beside("x2", in_use=4), n3=NodeState.DRAINING)
    assert h.allocator.asked == [{"n2"}]
    assert h.store.offered == [("x9", 30 + GRACE_SECONDS)]


def test_a_node_that_is_named_is_the_only_one_it_may_go_to(h: Harness) -> None:
    h.move(READY, beside("x2"), node="n3")
    assert h.allocator.asked == [{"n3"}]


@pytest.mark.parametrize("state", [state for state in InvocationState if state is not InvocationState.RUNNING])
def test_only_what_runs_can_move(h: Harness, state: InvocationState) -> None:
    h.store.info = h.store.info.model_copy(update={"state": state})
    with pytest.raises(Conflict, match=f"is {state.value}; only what runs"):
        h.move(beside("x2"))
    h.assert_nothing_happened()


def test_the_node_where_it_runs_is_no_place_to_go(h: Harness) -> None:
    with pytest.raises(Conflict, match="runs on node n1"):
        h.move(beside("x2"), node="n1")
    h.assert_nothing_happened()


def test_a_node_that_drains_takes_nothing(h: Harness) -> None:
    with pytest.raises(Conflict, match="node n2 is draining"):
        h.move(beside("x2"), node="n2", n2=NodeState.DRAINING)
    h.assert_nothing_happened()


def test_where_all_others_drain_there_is_none(h: Harness) -> None:
    with pytest.raises(Conflict, match="no other node"):
        h.move(beside("x2"), n2=NodeState.DRAINING, n3=NodeState.DRAINING)
    h.assert_nothing_happened()


def test_an_unknown_node_is_named_beside_the_known(h: Harness) -> None:
    with pytest.raises(NodeNotFound, match=r"'n4'.*n3"):
        h.move(beside("x2"), node="n4")
    h.assert_nothing_happened()


def test_no_instance_is_started_for_what_cannot_be_offered(h: Harness) -> None:
    h.store.forbids = "it is being moved already"
    with pytest.raises(Conflict, match="moved already"):
        h.move(READY)
    h.assert_nothing_happened()


@pytest.mark.parametrize(
    ("answer", "why"),
    [((Wait("all memory is in use"), ""), "all memory is in use"), ((Start("n2"), ""), "cluster is changing")],
)
def test_where_none_can_start_it_says_why(h: Harness, answer: tuple[Decision, str], why: str) -> None:
    h.allocator.answer = answer
    with pytest.raises(Conflict, match=why):
        h.move(READY)
    assert (h.store.offered, h.orders.sent) == ([], [])


def test_a_move_that_a_policy_decided_on_is_begun(h: Harness) -> None:
    h.allocator.known = ClusterView([NODE, replace(NODE, id="n2")], [READY, beside("x2")])
    h.mover.follow(Move("i", "x1", "n2"))
    assert h.orders.sent == [("receive", "n2", "x2", "i")]


@pytest.mark.parametrize("move", [Move("gone", "x1", "n2"), Move("i", "x1", "n1"), Move("i", "x1", "n7")])
def test_one_that_has_become_impossible_is_left_out(h: Harness, move: Move) -> None:
    h.allocator.known = ClusterView([NODE, replace(NODE, id="n2")], [READY, beside("x2")])
    h.mover.follow(move)
    h.assert_nothing_happened()
