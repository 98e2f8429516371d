"""The store in memory does what the Lua scripts do: both are driven together and must always answer alike."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from quickthaw.types import InvocationState, Version
from quickthaw_platform.contracts import ClusterView, InstanceState, NodeState, NodeView, Start, TiersView, Wait
from quickthaw_platform.errors import InstanceLost, QueueFull
from quickthaw_platform.invocations.memory import MemoryCluster
from quickthaw_platform.invocations.queues import Queues
from quickthaw_platform.invocations.records import Admission, Assignment
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.router.allocator import Allocator
from quickthaw_platform.router.cluster import RedisCluster
from quickthaw_platform.router.policies.least_loaded import LeastLoadedPolicy
from quickthaw_platform.router.view import count_serving
from quickthaw_platform.settings import Settings
from tests.made_up import examples
from tests.recording import RecordingCommands
from tests.state import announce_node, make_invocation, make_version, start_instance

NODES = ("n1", "n2")
NODE_BYTES = 2
KEYS = ("", "a", "b")
BEGINNINGS = ((), ("a1--chat",), ("a2--chat", "a1--chat"), ("b1--chat",), ("b2--chat", "b1--chat"), ("a1--else",))
LOST = InstanceLost("the process died")
picks = st.integers(0, 1000)


class Both(RuleBasedStateMachine):
    """Every call goes to both stores."""

    redis: Redis
    settings: Settings

    @initialize()
    def set_up(self) -> None:
        self.redis.flushall()
        self.store, self.slots = InvocationStore(self.redis, self.settings), SlotStore(self.redis)
        self.cluster, self.queues = RedisCluster(self.redis), Queues(self.redis)
        self.memory = MemoryCluster(lambda: 0.0, max_attempts=self.settings.max_attempts)
        shape = {"queue_size": 5, "concurrency": 2, "max_instances": 2}
        self.versions = [make_version(f"v{i}", name=f"f{i}", checkpoint=f"c{i}", **shape) for i in (1, 2)]
        self.ids: list[str] = []
        self.names: list[str] = []
        for node in NODES:
            self.join(node)
            self.allocate(len(self.names), "ready")

    def join(self, node: str) -> None:
        announce_node(self.redis, node, memory_bytes=NODE_BYTES, checkpoints='["c1", "c2"]')
        held = frozenset({"c1", "c2"})
        view = NodeView(node, NodeState.READY, "cpu", NODE_BYTES, NODE_BYTES, held, frozenset(), TiersView())
        self.memory.join(view)

    @rule(pick=picks, key=st.sampled_from(KEYS), beginnings=st.sampled_from(BEGINNINGS))
    def admit(self, pick: int, key: str, beginnings: tuple[str, ...]) -> None:
        identity, version = f"i{len(self.ids)}", self.version(pick)
        new = make_invocation(version, identity, key_id=key or None, beginnings=beginnings)
        try:
            there = self.store.admit(new)
        except QueueFull:
            with pytest.raises(QueueFull):
                self.memory.admit(identity, version, key, beginnings=beginnings)
            return
        self.ids.append(identity)
        self.same(_place(there), _place(self.memory.admit(identity, version, key, beginnings=beginnings)))

    @rule(pick=picks, step=st.sampled_from(["starting", "loaded", "ready"]))
    def allocate(self, pick: int, step: str) -> None:
        """Both views lead to the same decision, and both stores take it."""
        version, name = self.version(pick), f"x{len(self.names)}"
        request = Allocator(
            self.cluster, LeastLoadedPolicy(), RecordingCommands(), instance_memory=1, checkpoint_bytes=lambda _: 1
        )._request(version, ahead=False)
        theirs, ours = self.cluster.view(version.function), self.memory.view()
        decision = LeastLoadedPolicy().choose(request, theirs)
        assert _told(LeastLoadedPolicy().choose(request, ours)) == _told(decision)
        if isinstance(decision, Start):
            serving = count_serving(theirs, version.id)
            assert serving == count_serving(ours, version.id)
            assert self.cluster.reserve(version, decision, name, 1, 1, serving)
            assert self.memory.reserve(version, decision, name, 1, 1, serving)
            self.names.append(name)
            for state in ("loaded", "ready")[: ("starting", "loaded", "ready").index(step)]:
                self.same(getattr(self.slots, state)(name), getattr(self.memory, state)(name))

    @rule(pick=picks, node=st.sampled_from(NODES), serving=st.integers(0, 2), retire=st.sets(picks, max_size=2))
    def reserve_on_a_guess(self, pick: int, node: str, serving: int, retire: set[int]) -> None:
        """A decision that may be out of date is refused by both or by neither."""
        version, name = self.version(pick), f"x{len(self.names)}"
        leaving = tuple(sorted({self.name(each) for each in retire})) if self.names else ()
        start = Start(node, retire=leaving)
        done = self.cluster.reserve(version, start, name, 1, 1, serving)
        self.same(done, self.memory.reserve(version, start, name, 1, 1, serving))
        if done:
            self.names.append(name)

    @rule(pick=picks, version=picks)
    def take_the_place_of_an_idle_one(self, pick: int, version: int) -> None:
        """As policies do; whichever of the two goes first, no memory is lost or counted twice."""
        idle = [i for i in self.slots.instances() if i.state is InstanceState.READY and not i.in_use]
        if idle:
            old, newcomer, name = idle[pick % len(idle)], self.version(version), f"x{len(self.names)}"
            start, serving = Start(old.node, retire=(old.id,)), count_serving(self.cluster.view(), newcomer.id)
            done = self.cluster.reserve(newcomer, start, name, 2, 1, serving)
            self.same(done, self.memory.reserve(newcomer, start, name, 2, 1, serving))
            if done:
                self.names.append(name)

    @rule(pick=picks, step=st.sampled_from(["loaded", "ready", "ready", "ready", "drain", "retire"]))
    @precondition(lambda self: self.names)
    def advance(self, pick: int, step: str) -> None:
        name = self.name(pick)
        self.same(getattr(self.slots, step)(name), getattr(self.memory, step)(name))

    @rule(pick=picks, waiting=picks)
    @precondition(lambda self: self.names)
    def give_way(self, pick: int, waiting: int) -> None:
        name, version = self.name(pick), self.version(waiting).id
        self.same(self.cluster.drain(name, version), self.memory.drain(name, version))

    @rule(pick=picks)
    @precondition(lambda self: self.names)
    def claim(self, pick: int) -> None:
        name = self.name(pick)
        self.same([_given(a) for a in self.store.claim(name)], [_given(a) for a in self.memory.claim(name)])

    @rule(pick=picks)
    @precondition(lambda self: self.ids)
    def begin(self, pick: int) -> None:
        info = self.store.get(self.known(pick))
        at = (info.id, info.epoch, info.node or "n1", info.instance or "x0")
        self.same(bool(self.store.begin(*at)), bool(self.memory.begin(*at)))

    @rule(pick=picks, late=st.integers(0, 1))
    @precondition(lambda self: self.ids)
    def finish(self, pick: int, late: int) -> None:
        info = self.store.get(self.known(pick))
        if info.state.ended:
            return
        done = self.store.finish(info.id, info.epoch - late, InvocationState.SUCCEEDED)
        ours = self.memory.finish(info.id, info.epoch - late, InvocationState.SUCCEEDED)
        self.same((done.done, done.next and _given(done.next)), (ours.done, ours.next and _given(ours.next)))

    @rule(pick=picks)
    @precondition(lambda self: self.ids)
    def cancel(self, pick: int) -> None:
        there, ours = self.store.cancel(self.known(pick), "enough"), self.memory.cancel(self.known(pick))
        self.same(
            (there.done, there.node, there.instance, there.next and _given(there.next)),
            (ours.done, ours.node, ours.instance, ours.next and _given(ours.next)),
        )

    @rule(pick=picks)
    @precondition(lambda self: self.names)
    def kill(self, pick: int) -> None:
        name = self.name(pick)
        leases, ours = self.slots.remove(name), self.memory.remove(name)
        self.same(sorted(leases, key=repr), sorted(ours, key=repr))
        for lease in leases:
            there = self.store.lose(lease.invocation, lease.epoch, "lost", LOST)
            self.same(there, self.memory.lose(lease.invocation, lease.epoch))

    @rule(node=st.sampled_from(NODES))
    def lose_node(self, node: str) -> None:
        """A node dies with all that it has, and comes back empty."""
        leases = [lease for view in self.slots.instances(node=node) for lease in self.slots.remove(view.id)]
        self.redis.delete(f"qt:node:{node}")
        ours = self.memory.leave(node)
        self.same(sorted(leases, key=repr), sorted(ours, key=repr))
        for lease in leases:
            there = self.store.lose(lease.invocation, lease.epoch, "lost", LOST)
            self.same(there, self.memory.lose(lease.invocation, lease.epoch))
        self.join(node)

    @rule(pick=picks)
    def fail_waiting(self, pick: int) -> None:
        version = self.version(pick).id
        self.same(self.cluster.fail_waiting(version, "no"), self.memory.fail_waiting(version, "no"))

    @invariant()
    def both_show_the_same(self) -> None:
        theirs, ours = self.cluster.view(), self.memory.view()
        assert _shown(theirs) == _shown(ours)
        assert {i: self.store.get(i).state for i in self.ids} == {i: self.memory.calls[i].state for i in self.ids}
        table = self.memory.table
        kept = {table.index[node.id]: (node.kept_for, node.kept_bytes) for node in theirs.nodes if node.kept_for}
        assert table.kept == kept
        for node in theirs.nodes:
            assert node.memory_free_bytes == self.memory.table.free[self.memory.table.index[node.id]] >= 0
        assert all(instance.in_use <= instance.concurrency for instance in theirs.instances)

    @invariant()
    def the_columns_agree_with_the_records(self) -> None:
        table, instances = self.memory.table, list(self.memory.view().instances)
        for node in NODES:
            here, row = [i for i in instances if i.node == node], table.index[node]
            idle = [i for i in here if i.state is InstanceState.READY and not i.in_use]
            assert table.busy[row] == sum(i.in_use for i in here)
            assert table.idle[row] == sum(i.memory_bytes for i in idle)
            assert table.starting[row] == sum(i.state is InstanceState.STARTING for i in here)
            assert table.leaving[row] == sum(i.memory_bytes for i in here if i.state is InstanceState.DRAINING)

    def same(self, theirs: Any, ours: Any) -> None:
        assert ours == theirs

    def version(self, pick: int) -> Version:
        return self.versions[pick % len(self.versions)]

    def known(self, pick: int) -> str:
        return self.ids[pick % len(self.ids)]

    def name(self, pick: int) -> str:
        return self.names[pick % len(self.names)]


def _given(assignment: Assignment) -> tuple[str, int, str, str]:
    return assignment.invocation, assignment.epoch, assignment.instance, assignment.node


def _place(admission: Admission) -> object:
    return (_given(admission.assignment), admission.familiar) if admission.assignment else admission.position


def _told(decision: object) -> object:
    match decision:
        case Start():
            return decision.node, decision.retire
        case Wait():
            return decision.reason, decision.drain
    return decision


def _shown(view: ClusterView) -> object:
    instances = sorted(
        (i.id, i.version, i.node, i.state, i.in_use, i.memory_bytes, i.checkpoint) for i in view.instances
    )
    return instances, dict(view.waiting), sorted((node.id, node.state) for node in view.nodes)


def test_both_stores_answer_alike_whatever_happens(redis: Redis, platform_settings: Settings) -> None:
    machine = type("BothHere", (Both,), {"redis": redis, "settings": platform_settings})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=examples(60), stateful_step_count=40, suppress_health_check=list(HealthCheck)),
    )


def test_both_stores_follow_the_same_beginnings_where_many_want_the_same_place(
    redis: Redis, platform_settings: Settings
) -> None:
    """A hundred places for many more beginnings, and two instances: each next call finds the same of them in both."""
    store, memory = InvocationStore(redis, platform_settings), MemoryCluster(lambda: 0.0)
    version = make_version(concurrency=4, max_instances=2)
    announce_node(redis)
    memory.join(NodeView("n1", NodeState.READY, "cpu", 9, 9, frozenset({"c1"}), frozenset(), TiersView()))
    for number, name in enumerate(("x1", "x2")):
        start_instance(redis, version, name)
        assert memory.reserve(version, Start("n1"), name, 1, 1, number)
        assert memory.ready(name)
    rng, followed = Random(7), 0
    for number in range(900):
        first = rng.randrange(number // 2, number + 2)
        beginnings = tuple(f"{beginning:08}"[::-1] for beginning in range(first, first + 4))
        new = make_invocation(version, f"i{number}", beginnings=beginnings)
        there, ours = store.admit(new), memory.admit(new.id, version, beginnings=beginnings)
        assert _place(there) == _place(ours)
        followed += ours.familiar
        if number >= 3:  # the oldest of four ends
            assert store.finish(f"i{number - 3}", 1, InvocationState.SUCCEEDED).done
            memory.finish(f"i{number - 3}", 1, InvocationState.SUCCEEDED)
    assert 0 < followed < 900
    assert redis.hlen("qt:version.served:v1") == 101  # a field beside the places: see prelude.lua
