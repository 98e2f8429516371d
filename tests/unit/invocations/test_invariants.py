"""Random interleavings of everything that can happen, on a real Valkey, against a model of what must hold."""

from __future__ import annotations

from typing import cast

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

from quickthaw.types import Event, InvocationInfo, InvocationState
from quickthaw_platform.contracts import InstanceView
from quickthaw_platform.errors import InstanceLost, QueueFull, StartFailed
from quickthaw_platform.invocations.queues import Queues
from quickthaw_platform.invocations.records import Assignment, Chunk
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.invocations.watch import Watch
from quickthaw_platform.settings import Settings
from tests.made_up import examples
from tests.state import announce_node, make_invocation, make_limits, make_version

CONCURRENCY = 2
MAX_INSTANCES = 2
QUEUE_SIZE = 4
NODE_BYTES = 4
NEWCOMER_BYTES = 2
WEIGHTS = {"": 1.0, "k": 3.0, "l": 0.5}  # by API key
QUEUE = "qt:version.queue:v1"
FAR_SECONDS = 5000.0
LOST = InstanceLost("the process died")

epochs = st.integers(0, 1)  # how far behind the current epoch the caller believes to be
picks = st.integers(0, 1000)  # which of the known things, modulo their number


class Platform(RuleBasedStateMachine):
    """The callers of the stores (gateways, agents, controllers), each call possibly late, stale or repeated."""

    redis: Redis
    settings: Settings

    @initialize(ready=st.integers(0, MAX_INSTANCES))
    def set_up(self, ready: int) -> None:
        self.redis.flushall()
        announce_node(self.redis, memory_bytes=NODE_BYTES)
        self.version = make_version(
            concurrency=CONCURRENCY, max_instances=MAX_INSTANCES, queue_size=QUEUE_SIZE,
            limits=make_limits(start=1000, total=1000),
        )  # fmt: skip
        self.store = InvocationStore(self.redis, self.settings)
        self.slots, self.queues, self.watch = SlotStore(self.redis), Queues(self.redis), Watch(self.redis)
        self.other = make_version("v2", name="g", max_instances=100)
        self.ids: list[str] = []
        self.keys: dict[str, str] = {}
        self.instances: list[str] = []
        self.next_seq: dict[str, int] = {}
        self.ended: dict[str, InvocationInfo] = {}
        for _ in range(ready):
            self.reserve()
            self.slots.ready(self.instances[-1])

    # --- callers

    @rule(repeated=st.booleans(), key=st.sampled_from(list(WEIGHTS)))
    def admit(self, repeated: bool, key: str) -> None:
        new = make_invocation(self.version, f"i{len(self.ids)}", key_id=key or None, key_weight=WEIGHTS[key])
        try:
            admission = self.store.admit(new)
        except QueueFull:
            assert self.queues.waiting()["v1"] >= QUEUE_SIZE
            return
        self.ids.append(new.id)
        self.keys[new.id] = key
        if repeated:
            assert self.store.admit(new) == admission
        if admission.assignment:
            assert not self.queues.waiting()
            self.take([admission.assignment])

    @rule(pick=picks)
    @precondition(lambda self: self.ids)
    def cancel(self, pick: int) -> None:
        stopped = self.store.cancel(self.known(pick), "enough")
        self.take([stopped.next])

    # --- instances and their agents

    @rule()
    def reserve(self) -> None:
        name = f"x{len(self.instances)}"
        serving = [view for view in self.slots.instances(version="v1") if view.state != "draining"]
        has_room = self.free_bytes() >= 1
        reserved = self.slots.reserve(self.version, "n1", name, 1)
        assert reserved == (len(serving) < MAX_INSTANCES and has_room)
        if reserved:
            self.instances.append(name)

    @rule(picked=st.sets(picks, min_size=1, max_size=2))
    @precondition(lambda self: self.instances)
    def reserve_in_place_of_others(self, picked: set[int]) -> None:
        """All or nothing: they are idle and leave enough, or none of them drains."""
        name, leaving = f"x{len(self.instances)}", sorted({self.instance(pick) for pick in picked})
        views = [self.slots.get(other) for other in leaving]
        waiting = self.queues.waiting()
        idle = all(v and v.state == "ready" and not v.in_use and v.version not in waiting for v in views)
        enough = self.free_bytes() + sum(v.memory_bytes for v in views if v) >= NEWCOMER_BYTES
        before = self.slots.instances()
        done = self.slots.reserve(self.other, "n1", name, NEWCOMER_BYTES, retire=leaving)
        assert done == (idle and enough)
        if done:
            self.instances.append(name)
            assert {view.state for view in self.slots.instances() if view.id in leaving} == {"draining"}
        else:
            assert [view.state for view in self.slots.instances()] == [view.state for view in before]

    @rule(pick=picks, step=st.sampled_from(["loaded", "ready", "ready", "ready", "drain"]))
    @precondition(lambda self: self.instances)
    def advance(self, pick: int, step: str) -> None:
        getattr(self.slots, step)(self.instance(pick))

    @rule(pick=picks)
    @precondition(lambda self: self.instances)
    def claim(self, pick: int) -> None:
        self.take(self.store.claim(self.instance(pick)))

    @rule(pick=picks, late=epochs)
    @precondition(lambda self: self.ids)
    def start_work(self, pick: int, late: int) -> None:
        info = self.store.get(self.known(pick))
        seq = self.store.begin(info.id, info.epoch - late, info.node or "n1", info.instance or "x0")
        assert bool(seq) == (late == 0 and info.state in ("assigned", "running"))
        if seq:
            assert seq == len(self.log(info.id)) + 1
            self.next_seq[info.id] = seq

    @rule(pick=picks, late=epochs, count=st.integers(1, 3), repeated=st.booleans())
    @precondition(lambda self: self.ids)
    def append(self, pick: int, late: int, count: int, repeated: bool) -> None:
        info = self.store.get(self.known(pick))
        seq = self.next_seq.get(info.id, 1)
        chunks = [Chunk.of({"value": seq + i}) for i in range(count)]
        for _ in range(2 if repeated else 1):
            written = self.store.append(info.id, info.epoch - late, seq, chunks)
            assert written == (late == 0 and info.state == "running")
        if written:
            self.next_seq[info.id] = seq + count

    @rule(pick=picks, late=epochs, repeated=st.booleans(), good=st.booleans())
    @precondition(lambda self: self.ids)
    def finish(self, pick: int, late: int, repeated: bool, good: bool) -> None:
        info = self.store.get(self.known(pick))
        state = InvocationState.SUCCEEDED if good else InvocationState.FAILED
        error = None if good else LOST.to_json()
        done = self.store.finish(info.id, info.epoch - late, state, result=1, error=error)
        assert done.done == (late == 0 and (not info.state.ended or info.state == state))
        self.take([done.next])
        if repeated:
            again = self.store.finish(info.id, info.epoch - late, state, result=1, error=error)
            assert again.done == done.done
            assert again.next is None

    @rule(pick=picks)
    @precondition(lambda self: self.instances)
    def kill_instance(self, pick: int) -> None:
        """Its agent, or the controller, settles what it held: with the queue full or empty, in any order."""
        for lease in self.slots.remove(self.instance(pick)):
            self.store.lose(lease.invocation, lease.epoch, "lost", LOST)

    @rule(pick=picks)
    @precondition(lambda self: self.instances)
    def kill_instance_and_agent(self, pick: int) -> None:
        """Nobody settles what it held, until a sweep finds it."""
        self.slots.remove(self.instance(pick))

    @rule(pick=picks, late=epochs)
    @precondition(lambda self: self.ids)
    def requeue(self, pick: int, late: int) -> None:
        info = self.store.get(self.known(pick))
        owned = info.state in ("assigned", "running") and info.first_output_at is None
        assert self.store.requeue(info.id, info.epoch - late, "lost") == (owned and late == 0)

    # --- controllers

    @rule(pick=picks)
    @precondition(lambda self: self.instances)
    def retire(self, pick: int) -> None:
        name = self.instance(pick)
        view = self.slots.get(name)
        waits = view is not None and view.version in self.queues.waiting()
        retired = self.slots.retire(name)
        if retired:
            assert view is not None
            assert view.in_use == 0
            assert view.state == "draining" or not waits

    @rule()
    def sweep(self) -> None:
        for identity in self.members("qt:active"):
            self.redis.zincrby("qt:active", -FAR_SECONDS, identity)
        for lease in self.watch.stale().orphans:
            self.store.lose(lease.invocation, lease.epoch, "lost", LOST)
        assert not self.watch.stale().orphans

    @rule(pick=picks)
    @precondition(lambda self: self.ids)
    def run_out_of_time(self, pick: int) -> None:
        if self.redis.zscore("qt:deadlines", self.known(pick)) is not None:
            self.redis.zincrby("qt:deadlines", -FAR_SECONDS, self.known(pick))
        for overdue in self.watch.overdue():
            self.take([self.watch.expire(overdue).next])

    @rule()
    def fail_waiting(self) -> None:
        self.queues.fail_waiting("v1", StartFailed("no"))
        assert not self.queues.waiting()

    # --- what must hold after every step

    @invariant()
    def everything_is_in_order(self) -> None:
        views = self.slots.instances()
        self.no_more_leases_than_slots(views)
        assert 0 <= self.free_bytes() <= NODE_BYTES
        queue = self.members(QUEUE)
        for key in WEIGHTS:
            mine = [identity for identity in queue if self.keys[identity] == key]
            assert mine == sorted(mine, key=self.ids.index)  # each key's by arrival
        assert len(queue) == len(set(queue))
        leases = {lease.invocation: view.id for view in views for lease in self.slots.leases(view.id)}
        active, deadlines = self.members("qt:active"), self.members("qt:deadlines")
        for identity in self.ids:
            info, log = self.store.get(identity), self.log(identity)
            owned = info.state in ("assigned", "running")
            orphaned = info.instance not in {view.id for view in views}
            assert (identity in queue) == (info.state == "queued")
            assert (identity in active) == owned
            assert (identity in deadlines) == (not info.state.ended)
            assert leases.get(identity) == (info.instance if owned and not orphaned else None)
            self.log_has_no_gap_and_one_end(info, log)
            self.an_end_is_final_and_leaves_in_time(info)
        self.a_removed_instance_leaves_nothing()
        self.newcomers_find_every_free_slot(views)
        self.traffic_is_what_has_not_ended()

    def no_more_leases_than_slots(self, views: list[InstanceView]) -> None:
        for view in views:
            assert view.in_use <= CONCURRENCY

    def newcomers_find_every_free_slot(self, views: list[InstanceView]) -> None:
        ready = {v.id: v.concurrency - v.in_use for v in views if v.version == "v1" and v.state == "ready"}
        open_ones = cast("list[tuple[str, float]]", self.redis.zrange("qt:version.open:v1", 0, -1, withscores=True))
        assert dict(open_ones) == {instance: free for instance, free in ready.items() if free}

    def traffic_is_what_has_not_ended(self) -> None:
        live = {identity for identity in self.ids if identity not in self.ended}
        assert self.redis.smembers("qt:function.live:f") == live
        assert bool(self.redis.exists("qt:function.idle_since:f")) == bool(self.ids and not live)
        assert live or not self.redis.exists("qt:version.fair:v1")

    def log_has_no_gap_and_one_end(self, info: InvocationInfo, log: list[Event]) -> None:
        assert [event.seq for event in log] == list(range(1, len(log) + 1))
        assert [event.ends for event in log] == [False] * (len(log) - 1) + [info.state.ended]

    def an_end_is_final_and_leaves_in_time(self, info: InvocationInfo) -> None:
        if info.state.ended:
            assert self.ended.setdefault(info.id, info) == info
            assert self.redis.pttl(f"qt:inv:{info.id}") > 0
            assert self.redis.pttl(f"qt:inv.log:{info.id}") > 0

    def a_removed_instance_leaves_nothing(self) -> None:
        alive = self.redis.smembers("qt:instances")
        gone = [name for name in self.instances if name not in alive]
        keys = [key for name in gone for key in (f"qt:instance:{name}", f"qt:instance.leases:{name}")]
        assert not keys or not self.redis.exists(*keys)

    # --- helpers

    def take(self, assignments: list[Assignment] | list[Assignment | None]) -> None:
        """What got a slot is the one that arrived first of those of its key that waited."""
        for assignment in assignments:
            if assignment is None:
                continue
            key, given = self.keys[assignment.invocation], self.ids.index(assignment.invocation)
            behind = [self.ids.index(identity) for identity in self.members(QUEUE) if self.keys[identity] == key]
            assert given < min(behind, default=given + 1)
            assert assignment.next_seq == len(self.log(assignment.invocation)) + 2

    def free_bytes(self) -> int:
        return NODE_BYTES - sum(view.memory_bytes for view in self.slots.instances())

    def members(self, key: str) -> list[str]:
        return cast("list[str]", self.redis.zrange(key, 0, -1))

    def known(self, pick: int) -> str:
        return self.ids[pick % len(self.ids)]

    def instance(self, pick: int) -> str:
        return self.instances[pick % len(self.instances)]

    def log(self, identity: str) -> list[Event]:
        return self.store.read(identity, 0, 0)


@pytest.fixture
def machine(redis: Redis, platform_settings: Settings) -> type[Platform]:
    """The machine on this test's Valkey."""
    return type("PlatformHere", (Platform,), {"redis": redis, "settings": platform_settings})


def test_whatever_happens_in_whatever_order_the_invariants_hold(machine: type[Platform]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=examples(30), stateful_step_count=40, suppress_health_check=list(HealthCheck)),
    )
