"""The contracts of policies, over every installed one and over clusters that nobody thought of."""

from __future__ import annotations

import copy
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw_platform import plugins
from quickthaw_platform.contracts import (
    AllocationPolicy,
    AllocationRequest,
    ClusterView,
    IdleHistory,
    InstanceState,
    InstanceView,
    KeepAlivePolicy,
    NodeState,
    NodeView,
    Refuse,
    Start,
    Wait,
)

NODES = ("n1", "n2", "n3")
VERSIONS = ("v1", "v2")
CHECKPOINTS = st.frozensets(st.sampled_from(["c1", "c2"]))

requests = st.builds(
    AllocationRequest,
    function=st.just("f"),
    version=st.just("v1"),
    checkpoint=st.just("c1"),
    memory_bytes=st.integers(0, 12),
    concurrency=st.integers(1, 4),
    max_instances=st.integers(1, 3),
)
instances = st.builds(
    InstanceView,
    id=st.uuids().map(str),
    function=st.just("f"),
    version=st.sampled_from(VERSIONS),
    node=st.sampled_from([*NODES, "gone"]),
    state=st.sampled_from(InstanceState),
    concurrency=st.just(4),
    in_use=st.integers(0, 4),
    memory_bytes=st.integers(0, 5),
    idle_seconds=st.floats(0, 1e6),
)


@st.composite
def views(draw: st.DrawFn) -> ClusterView:
    there = draw(st.lists(instances, max_size=5))
    nodes = []
    for name in draw(st.lists(st.sampled_from(NODES), unique=True)):
        memory = draw(st.integers(0, 20))
        reserved = sum(instance.memory_bytes for instance in there if instance.node == name)
        state = draw(st.sampled_from(NodeState))
        nodes.append(NodeView(name, state, "cpu", memory, memory - reserved, draw(CHECKPOINTS), frozenset()))
    waiting = draw(st.dictionaries(st.sampled_from(VERSIONS), st.integers(1, 20)))
    return ClusterView(tuple(nodes), tuple(there), waiting)


@pytest.fixture(scope="module", params=plugins.names(plugins.ALLOCATION_POLICIES))
def allocation(request: pytest.FixtureRequest) -> AllocationPolicy:
    return plugins.allocation_policy(request.param)


@pytest.fixture(scope="module", params=plugins.names(plugins.KEEP_ALIVE_POLICIES))
def keep_alive(request: pytest.FixtureRequest) -> KeepAlivePolicy:
    return plugins.keep_alive_policy(request.param)


class TestAllocationPolicy:
    @given(request=requests, view=views())
    def test_it_starts_only_where_the_instance_can_run(
        self, allocation: AllocationPolicy, request: AllocationRequest, view: ClusterView
    ) -> None:
        decision = allocation.choose(request, view)
        if isinstance(decision, Start):
            [node] = [node for node in view.nodes if node.id == decision.node]
            assert node.state is NodeState.READY
            assert request.checkpoint in node.checkpoints
            leaving = [i for i in view.instances if i.id in decision.retire]
            assert all(i.node == node.id and i.in_use == 0 and i.state is InstanceState.READY for i in leaving)
            room = node.memory_free_bytes + sum(i.memory_bytes for i in leaving)
            assert room >= request.memory_bytes
            assert decision.estimate_seconds is None or decision.estimate_seconds >= 0

    @given(request=requests, view=views())
    def test_it_never_starts_more_than_max_instances(
        self, allocation: AllocationPolicy, request: AllocationRequest, view: ClusterView
    ) -> None:
        ready = {node.id for node in view.nodes if node.state is NodeState.READY}
        serving = sum(
            i.version == request.version and i.state is not InstanceState.DRAINING and i.node in ready
            for i in view.instances
        )
        if isinstance(allocation.choose(request, view), Start):
            assert serving < request.max_instances

    @given(request=requests, view=views())
    def test_it_refuses_only_what_no_node_could_hold_if_it_were_empty(
        self, allocation: AllocationPolicy, request: AllocationRequest, view: ClusterView
    ) -> None:
        decision = allocation.choose(request, view)
        could = any(
            request.checkpoint in node.checkpoints and node.memory_bytes >= request.memory_bytes for node in view.nodes
        )
        if isinstance(decision, Refuse):
            assert view.nodes
            assert not could
        if not isinstance(decision, Start):
            assert decision.reason

    @given(request=requests, view=views())
    def test_it_is_pure(self, allocation: AllocationPolicy, request: AllocationRequest, view: ClusterView) -> None:
        before = copy.deepcopy((request, view))
        assert allocation.choose(request, view) == allocation.choose(*before)
        assert (request, view) == before

    def test_without_nodes_it_waits(self, allocation: AllocationPolicy) -> None:
        request = AllocationRequest("f", "v1", "c1", 1, 1, 1)
        assert isinstance(allocation.choose(request, ClusterView((), (), {"v1": 1})), Wait)


class TestKeepAlivePolicy:
    @given(
        seconds=st.floats(0, 1e6),
        gaps=st.lists(st.floats(0, 1e6), max_size=300),
        start_seconds=st.floats(0.001, 1e4),
    )
    def test_an_idle_instance_is_kept_for_a_time_that_is_not_in_the_past(
        self, keep_alive: KeepAlivePolicy, seconds: float, gaps: list[float], start_seconds: float
    ) -> None:
        history = IdleHistory(seconds, gaps, start_seconds)
        keep = keep_alive.keep(history)
        assert keep.seconds >= 0
        assert keep.prewarm_after is None or (math.isfinite(keep.prewarm_after) and keep.prewarm_after >= keep.seconds)
        assert keep.prewarm_after is None or keep.prewarm_until > keep.prewarm_after
        assert keep_alive.keep(history) == keep

    @given(gap=st.floats(0, 1e6), count=st.integers(0, 200))
    def test_it_says_the_same_of_gaps_in_a_list_and_in_a_tuple(
        self, keep_alive: KeepAlivePolicy, gap: float, count: int
    ) -> None:
        listed, frozen = [gap] * count, (gap,) * count
        assert keep_alive.keep(IdleHistory(60.0, listed)) == keep_alive.keep(IdleHistory(60.0, frozen))
        assert listed == list(frozen)
