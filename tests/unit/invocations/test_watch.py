from __future__ import annotations

import pytest
from redis import Redis

from quickthaw.types import InvocationState
from quickthaw_platform.invocations.queues import Queues
from quickthaw_platform.invocations.records import Lease, Stopped
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.invocations.watch import UNTOLD_SECONDS, DeadNode, Watch
from tests.state import (
    announce_node,
    lose,
    make_invocation,
    make_limits,
    make_version,
    rewind,
    start_instance,
    take_calls,
)

VERSION = make_version(concurrency=1)
INTERVAL_SECONDS, TTL_SECONDS = 1.0, 3.0


def dead(watch: Watch) -> list[str]:
    return [node.id for node in watch.dead_nodes(INTERVAL_SECONDS, TTL_SECONDS)]


def shift(redis: Redis, key: str, field: str, seconds: float) -> None:
    redis.hincrbyfloat(key, field, seconds)


class TestDeadNodes:
    @pytest.fixture(autouse=True)
    def first_round(self, redis: Redis, watch: Watch) -> None:
        announce_node(redis)
        assert dead(watch) == []

    def after(self, redis: Redis, watch: Watch, *gaps: float) -> list[str]:
        """Do a round after each of the gaps (seconds); returns who is dead after the last."""
        found: list[str] = []
        for gap in gaps:
            shift(redis, "qt:controller.watch", "last_sweep", -gap)
            found = dead(watch)
        return found

    def test_a_node_silent_for_longer_than_the_ttl_is_dead(self, redis: Redis, watch: Watch) -> None:
        assert self.after(redis, watch, 1, 1, 0.9) == []
        assert self.after(redis, watch, 0.2) == ["n1"]

    def test_one_that_beats_is_not(self, redis: Redis, watch: Watch) -> None:
        for _ in range(10):
            announce_node(redis)
            assert self.after(redis, watch, 1) == []

    @pytest.mark.parametrize(
        "gap",
        [
            60.0,  # no controller ran, or Redis was down, or its clock stepped forward
            -3600.0,  # Redis' clock stepped back
        ],
    )
    def test_silence_that_nobody_could_have_heard_kills_no_node(self, redis: Redis, watch: Watch, gap: float) -> None:
        assert self.after(redis, watch, 0.9, gap, 0.9) == []
        assert self.after(redis, watch, 1, 1) == ["n1"]  # but silence after it does

    def test_rounds_that_are_late_every_time_still_find_it(self, redis: Redis, watch: Watch) -> None:
        assert self.after(redis, watch, 30, 30, 30) == []
        assert self.after(redis, watch, 30) == ["n1"]

    def test_a_last_seen_in_the_future_hides_no_node(self, redis: Redis, watch: Watch) -> None:
        shift(redis, "qt:node:n1", "last_seen", 3600)
        assert self.after(redis, watch, 1, 1, 1, 1, 1) == ["n1"]

    def test_a_node_whose_record_is_gone_is_dead(self, redis: Redis, watch: Watch) -> None:
        redis.delete("qt:node:n1")
        assert self.after(redis, watch, 1, 1, 1, 1, 1) == ["n1"]

    def test_a_node_that_left_is_not_remembered(self, redis: Redis, watch: Watch) -> None:
        redis.srem("qt:nodes", "n1")
        assert dead(watch) == []
        assert not redis.exists("qt:controller.heard")

    def test_nothing_new_goes_to_it_before_it_is_forgotten_or_beats_again(
        self, redis: Redis, watch: Watch, slots: SlotStore
    ) -> None:
        assert slots.reserve(VERSION, "n1", "before", 1)
        assert self.after(redis, watch, 1, 1, 1, 1) == ["n1"]
        assert not slots.reserve(VERSION, "n1", "too-late", 1)
        announce_node(redis)
        assert self.after(redis, watch, 1) == []
        slots.remove("before")
        assert slots.reserve(VERSION, "n1", "after", 1)

    def test_it_is_forgotten_unless_it_came_back_or_has_instances(
        self, redis: Redis, watch: Watch, slots: SlotStore
    ) -> None:
        start_instance(redis, VERSION)
        seen = str(redis.hget("qt:node:n1", "last_seen"))
        assert not watch.forget(DeadNode("n1", seen))
        slots.remove("x1")
        assert not watch.forget(DeadNode("n1", "1.0"))
        assert watch.forget(DeadNode("n1", seen))
        assert not redis.exists("qt:node:n1", "qt:nodes")


class TestOverdue:
    def test_one_that_waits_for_too_long_ends_with_the_reason(
        self, redis: Redis, store: InvocationStore, watch: Watch, queues: Queues
    ) -> None:
        store.admit(make_invocation(VERSION, "a", limits=make_limits(start=5)))
        queues.explain("v1", "all 1 instances are busy")
        assert watch.overdue() == []
        rewind(redis, "qt:deadlines", "a", 5)
        [overdue] = watch.overdue()
        assert watch.expire(overdue) == Stopped(True)
        info = store.get("a")
        assert info.state is InvocationState.TIMED_OUT
        assert info.error is not None
        assert info.error["code"] == "start_timeout"
        assert info.error["message"] == "no instance served the invocation within 5 s (all 1 instances are busy)"

    def test_one_that_runs_for_too_long_ends_and_its_slot_goes_on(
        self, redis: Redis, store: InvocationStore, watch: Watch
    ) -> None:
        start_instance(redis, VERSION)
        for identity in ("a", "b"):
            store.admit(make_invocation(VERSION, identity, limits=make_limits(start=1, total=9)))
        store.begin("a", 1, "n1", "x1")
        rewind(redis, "qt:deadlines", "a", 5)
        assert watch.overdue() == []  # past the start limit, but it has begun
        rewind(redis, "qt:deadlines", "a", 5)
        [overdue] = watch.overdue()
        stopped = watch.expire(overdue)
        assert (stopped.node, stopped.instance) == ("n1", "x1")
        assert stopped.next is not None
        assert stopped.next.invocation == "b"
        error = store.get("a").error
        assert error is not None
        assert error["code"] == "total_timeout"

    def test_one_that_begins_just_now_is_left_alone(self, redis: Redis, store: InvocationStore, watch: Watch) -> None:
        start_instance(redis, VERSION)
        store.admit(make_invocation(VERSION, "a", limits=make_limits(start=5)))
        rewind(redis, "qt:deadlines", "a", 5)
        [overdue] = watch.overdue()
        store.begin("a", 1, "n1", "x1")
        assert watch.expire(overdue) == Stopped(False)
        assert store.get("a").state is InvocationState.RUNNING

    def test_a_record_that_is_gone_is_due_no_longer(self, redis: Redis, watch: Watch) -> None:
        redis.zadd("qt:deadlines", {"ghost": 1})
        assert watch.overdue() == []
        assert not redis.exists("qt:deadlines")


class TestStale:
    def test_an_assignment_not_taken_up_is_told_again_now_and_then(
        self, redis: Redis, store: InvocationStore, watch: Watch
    ) -> None:
        start_instance(redis, VERSION)
        store.admit(make_invocation(VERSION, "a"))
        assert take_calls(redis) == [("a", "1", "x1")]
        assert watch.orphans() == []
        assert take_calls(redis) == []
        rewind(redis, "qt:active", "a", UNTOLD_SECONDS)
        assert watch.orphans() == watch.orphans() == []
        assert take_calls(redis) == [("a", "1", "x1")]

    def test_one_that_runs_is_left_alone(self, redis: Redis, store: InvocationStore, watch: Watch) -> None:
        start_instance(redis, VERSION)
        store.admit(make_invocation(VERSION, "a"))
        store.begin("a", 1, "n1", "x1")
        rewind(redis, "qt:active", "a", UNTOLD_SECONDS)
        take_calls(redis)
        assert watch.orphans() == watch.orphans() == []
        assert take_calls(redis) == []

    @pytest.mark.parametrize("begun", [False, True])
    def test_one_whose_instance_is_gone_is_an_orphan_until_it_is_settled(
        self, redis: Redis, store: InvocationStore, slots: SlotStore, watch: Watch, begun: bool
    ) -> None:
        """Whoever removed the instance has some seconds to settle it with the true cause."""
        start_instance(redis, VERSION)
        store.admit(make_invocation(VERSION, "a"))
        if begun:
            store.begin("a", 1, "n1", "x1")
        rewind(redis, "qt:active", "a", UNTOLD_SECONDS)
        slots.remove("x1")
        assert watch.orphans() == []
        rewind(redis, "qt:active", "a", UNTOLD_SECONDS)
        assert watch.orphans() == watch.orphans() == [Lease("a", 1)]
        lose(store, "a", 1)
        assert watch.orphans() == []
