from __future__ import annotations

from dataclasses import replace

import pytest

from quickthaw_platform.contracts import (
    AllocationRequest,
    ClusterView,
    InstanceState,
    InstanceView,
    NodeState,
    NodeView,
    Refuse,
    Start,
    TiersView,
    Wait,
)
from quickthaw_platform.router.policies.least_loaded import LeastLoadedPolicy

GIB = 1 << 30
REQUEST = AllocationRequest("f", "v1", "c1", memory_bytes=2 * GIB, concurrency=4, max_instances=3)
POLICY = LeastLoadedPolicy()


def node(
    name: str, free: int = 8, total: int = 8, state: NodeState = NodeState.READY, checkpoint: str = "c1"
) -> NodeView:
    return NodeView(name, state, "cpu", total * GIB, free * GIB, frozenset({checkpoint}), frozenset())


def instance(
    name: str, state: InstanceState = InstanceState.READY, in_use: int = 4, on: str = "n1", version: str = "v1"
) -> InstanceView:
    return InstanceView(name, "f", version, on, state, 4, in_use, 2 * GIB, 0.0)


def view(nodes: list[NodeView], instances: list[InstanceView] | None = None, waiting: int = 1) -> ClusterView:
    return ClusterView(tuple(nodes), tuple(instances or ()), {"v1": waiting})


STARTING = InstanceState.STARTING
DRAINING = InstanceState.DRAINING


@pytest.mark.parametrize(
    ("nodes", "chosen"),
    [
        ([node("n1", 3), node("n2", 5), node("n3", 4)], "n2"),  # most free memory
        ([node("n2", 5), node("n1", 5)], "n1"),  # a tie goes by name, whatever the order
        ([node("n1", 8, checkpoint="other"), node("n2", 2)], "n2"),  # only where the checkpoint is
        ([node("n1", 8, state=NodeState.DRAINING), node("n2", 2)], "n2"),  # only where new work is taken
        ([node("n1", 2)], "n1"),  # exactly enough
    ],
)
def test_it_starts_on_the_roomiest_node_that_can(nodes: list[NodeView], chosen: str) -> None:
    decision = POLICY.choose(REQUEST, view(nodes))
    assert isinstance(decision, Start)
    assert decision.node == chosen


def fetching(name: str, free: int = 8) -> NodeView:
    return replace(node(name, free, checkpoint="other"), tiers=TiersView(remote=frozenset({"c1"})))


@pytest.mark.parametrize(
    ("nodes", "chosen"),
    [
        ([fetching("n1", 8), node("n2", 2)], "n2"),  # rather where nothing must be fetched, though fuller
        ([fetching("n1", 8), node("n2", 1)], "n1"),  # but there where it fits
        ([fetching("n1", 3), fetching("n2", 4)], "n2"),  # of those that fetch, the roomiest
        ([fetching("n1"), replace(fetching("n2", 2), tiers=TiersView(dram=frozenset({"c1"})))], "n2"),  # in memory
    ],
)
def test_a_node_that_can_fetch_the_checkpoint_serves_where_no_other_can(nodes: list[NodeView], chosen: str) -> None:
    decision = POLICY.choose(REQUEST, view(nodes))
    assert isinstance(decision, Start)
    assert decision.node == chosen


@pytest.mark.parametrize(
    ("instances", "waiting", "starts"),
    [
        ([instance("x1", STARTING, 0)], 4, False),  # its four slots are enough
        ([instance("x1", STARTING, 0)], 5, True),  # they are not
        ([instance("x1", InstanceState.LOADED, 3)], 1, False),  # one slot left
        ([instance("x1", InstanceState.LOADED, 3)], 2, True),
        ([instance("x1", InstanceState.READY, 3)], 1, False),  # about to claim it
        ([instance("x1")], 1, True),  # all slots in use
        ([instance("x1", DRAINING, 0)], 1, True),  # will take nothing
        ([instance("x1", STARTING, 0, on="n2")], 1, True),  # nor will one on a draining node
        ([instance("x1", STARTING, 0, on="gone")], 1, True),  # nor on a lost one
        ([instance("x1", STARTING, 0, version="v2")], 1, True),  # another version's
    ],
)
def test_it_starts_no_more_than_what_waits_has_use_for(
    instances: list[InstanceView], waiting: int, starts: bool
) -> None:
    nodes = [node("n1"), node("n2", state=NodeState.DRAINING)]
    decision = POLICY.choose(REQUEST, view(nodes, instances, waiting))
    assert isinstance(decision, Start if starts else Wait)


def test_it_says_where_an_instance_is_starting() -> None:
    decision = POLICY.choose(REQUEST, view([node("n1")], [instance("x1", STARTING, 0)]))
    assert decision == Wait("an instance is starting on node n1")


def test_no_more_than_max_instances_and_what_drains_does_not_count() -> None:
    busy = [instance(f"x{i}") for i in range(3)]
    decision = POLICY.choose(REQUEST, view([node("n1")], busy))
    assert decision == Wait("all 3 instances are busy (max_instances is 3)")
    assert isinstance(POLICY.choose(REQUEST, view([node("n1")], [*busy[:2], instance("x3", DRAINING)])), Start)


def test_without_a_worker_it_waits_and_says_how_to_start_one() -> None:
    decision = POLICY.choose(REQUEST, view([]))
    assert isinstance(decision, Wait)
    assert decision.reason.startswith("no worker is running")


@pytest.mark.parametrize(
    "nodes",
    [
        [node("n1", free=1)],  # idle instances of others hold the rest
        [node("n1", free=1), node("n2", free=8, checkpoint="other")],
        [node("n1", state=NodeState.DRAINING)],
        [node("n1", free=1, total=1), node("n2", free=1)],  # the larger one can hold it later
    ],
)
def test_it_waits_for_what_can_become_free(nodes: list[NodeView]) -> None:
    assert isinstance(POLICY.choose(REQUEST, view(nodes)), Wait)


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([node("n1", checkpoint="other")], ["none of the 1 running nodes", "c1", "quickthaw models import"]),
        ([node("n1", 1, 1), node("n2", 8, 8, checkpoint="other")], ["2.00 GiB", "1.00 GiB", "n1", "`memory`"]),
    ],
)
def test_it_refuses_what_no_node_can_ever_hold_with_figures_and_advice(nodes: list[NodeView], said: list[str]) -> None:
    decision = POLICY.choose(REQUEST, view(nodes))
    assert isinstance(decision, Refuse)
    for part in said:
        assert part in decision.reason
