from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import pytest
from redis import Redis

from quickthaw.types import InvocationState
from quickthaw_platform.contracts import InstanceState
from quickthaw_platform.invocations.records import Lease, Lost
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.router.view import read_view
from tests.state import MEMORY_BYTES, announce_node, lose, make_invocation, make_version, start_instance
from tests.valkey_process import ValkeyProcess

VERSION = make_version(concurrency=2, max_instances=2)
OTHER = make_version("v2", name="g")
NEW = make_version("v3", name="h", max_instances=5)


def states(slots: SlotStore) -> dict[str, InstanceState]:
    return {view.id: view.state for view in slots.instances()}


def reserved_bytes(slots: SlotStore) -> int:
    return sum(view.memory_bytes for view in slots.instances())


class TestReserve:
    def test_the_record_says_what_was_reserved(self, redis: Redis, slots: SlotStore) -> None:
        announce_node(redis)
        assert slots.reserve(VERSION, "n1", "x1", 5)
        [view] = slots.instances()
        assert (view.id, view.function, view.version, view.node) == ("x1", "f", "v1", "n1")
        assert (view.state, view.concurrency, view.in_use, view.memory_bytes) == (InstanceState.STARTING, 2, 0, 5)
        assert slots.instances(version="v1") == slots.instances(node="n1") == [view]
        assert slots.instances(version="other") == slots.instances(node="other") == []

    def test_repeated_it_reserves_once(self, redis: Redis, slots: SlotStore) -> None:
        announce_node(redis, memory_bytes=5)
        assert slots.reserve(VERSION, "n1", "x1", 5)
        assert slots.reserve(VERSION, "n1", "x1", 5)
        assert len(slots.instances()) == 1

    def test_no_more_than_max_instances_and_what_drains_counts_no_longer(self, redis: Redis, slots: SlotStore) -> None:
        announce_node(redis)
        assert slots.reserve(VERSION, "n1", "x1", 1)
        assert slots.reserve(VERSION, "n1", "x2", 1)
        assert not slots.reserve(VERSION, "n1", "x3", 1)
        slots.drain("x1")
        assert slots.reserve(VERSION, "n1", "x3", 1)

    def test_no_more_than_the_memory_of_the_node(self, redis: Redis, slots: SlotStore) -> None:
        announce_node(redis, memory_bytes=10)
        assert slots.reserve(VERSION, "n1", "x1", 6)
        assert not slots.reserve(VERSION, "n1", "x2", 5)
        assert slots.reserve(VERSION, "n1", "x2", 4)

    @pytest.mark.parametrize("node", ["unknown", "draining"])
    def test_nothing_on_a_node_that_is_unknown_or_drains(self, redis: Redis, slots: SlotStore, node: str) -> None:
        announce_node(redis, "draining", state="draining")
        assert not slots.reserve(VERSION, node, "x1", 1)
        assert slots.instances() == []

    def test_not_on_a_decision_that_is_out_of_date(self, redis: Redis, slots: SlotStore) -> None:
        announce_node(redis)
        assert slots.reserve(VERSION, "n1", "x1", 1, serving=0)
        assert not slots.reserve(VERSION, "n1", "x2", 1, serving=0)
        assert slots.reserve(VERSION, "n1", "x2", 1, serving=1)

    def test_many_at_once_reserve_no_more_than_allowed(self, valkey: ValkeyProcess, redis: Redis) -> None:
        version = make_version(max_instances=5)
        announce_node(redis)

        def reserve(thread: int) -> int:
            with valkey.client() as client:
                own = SlotStore(client)
                return sum(own.reserve(version, "n1", f"x{thread}-{i}", 1) for i in range(20))

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(reserve, range(8))) == 5


class TestReserveInPlaceOfIdleOnes:
    """A node of 10 bytes with an idle instance of 6 (of v1) and one of 4 (of v2)."""

    @pytest.fixture(autouse=True)
    def full_node(self, redis: Redis, slots: SlotStore) -> None:
        announce_node(redis, memory_bytes=10)
        for version, instance, memory_bytes in ((VERSION, "x1", 6), (OTHER, "x2", 4)):
            assert slots.reserve(version, "n1", instance, memory_bytes)
            assert slots.ready(instance)

    def test_they_drain_and_the_newcomer_knows_whose_end_to_wait_for(self, redis: Redis, slots: SlotStore) -> None:
        assert slots.reserve(NEW, "n1", "y1", 9, retire=["x1", "x2"])
        assert states(slots) == {
            "x1": InstanceState.DRAINING,
            "x2": InstanceState.DRAINING,
            "y1": InstanceState.STARTING,
        }
        assert redis.hget("qt:instance:y1", "after") == "x1,x2"
        assert reserved_bytes(slots) == 10
        assert slots.reserve(NEW, "n1", "y1", 9, retire=["x1", "x2"])  # repeated

    def test_their_memory_is_nobody_elses_until_they_are_gone(self, slots: SlotStore) -> None:
        assert slots.reserve(NEW, "n1", "y1", 5, retire=["x1"])
        assert reserved_bytes(slots) == 10
        assert not slots.reserve(NEW, "n1", "y2", 1)
        slots.remove("x1")
        assert slots.reserve(NEW, "n1", "y2", 1)

    def test_a_newcomer_that_goes_first_gives_it_back(self, slots: SlotStore) -> None:
        assert slots.reserve(NEW, "n1", "y1", 8, retire=["x1", "x2"])
        slots.remove("y1")
        assert reserved_bytes(slots) == 10
        assert not slots.reserve(NEW, "n1", "y2", 1)
        slots.remove("x1")
        assert slots.reserve(NEW, "n1", "y2", 6)

    @pytest.mark.parametrize("order", list(permutations(["x2", "y1", "z1"])), ids="-".join)
    def test_memory_that_was_handed_on_is_not_given_back_twice(
        self, redis: Redis, slots: SlotStore, order: tuple[str, ...]
    ) -> None:
        """`y1` is there before `x2`, whose place it took, has gone, and is itself taken the place of."""
        assert slots.reserve(NEW, "n1", "y1", 4, retire=["x2"])
        assert slots.ready("y1")
        assert slots.reserve(OTHER, "n1", "z1", 4, retire=["y1"])
        assert redis.hget("qt:instance:z1", "after") == "y1,x2"
        for left, name in zip((10, 10, 6), order, strict=True):
            slots.remove(name)
            assert reserved_bytes(slots) == left

    def test_room_that_is_not_enough_changes_nothing(self, slots: SlotStore) -> None:
        assert not slots.reserve(NEW, "n1", "y1", 7, retire=["x1"])
        assert not slots.reserve(NEW, "n1", "y1", 7, retire=["x1", "x1"])  # named twice, it is there once
        assert states(slots) == {"x1": InstanceState.READY, "x2": InstanceState.READY}
        assert reserved_bytes(slots) == 10

    def test_one_with_a_lease_stays(self, store: InvocationStore, slots: SlotStore) -> None:
        store.admit(make_invocation(VERSION, "a"))
        assert not slots.reserve(NEW, "n1", "y1", 10, retire=["x2", "x1"])
        assert set(states(slots).values()) == {InstanceState.READY}

    def test_one_that_something_waits_for_stays(self, redis: Redis, slots: SlotStore) -> None:
        redis.zadd("qt:version.queue:v2", {"a": 1})
        assert not slots.reserve(NEW, "n1", "y1", 4, retire=["x2"])

    @pytest.mark.parametrize("state", ["starting", "loaded", "draining", "elsewhere", "unknown"])
    def test_one_that_is_not_ready_on_this_node_makes_no_room(self, redis: Redis, slots: SlotStore, state: str) -> None:
        announce_node(redis, "n2", memory_bytes=10)
        slots.remove("x2")
        if state != "unknown":
            assert slots.reserve(OTHER, "n2" if state == "elsewhere" else "n1", "x2", 4)
        if state in ("loaded", "draining"):
            assert slots.loaded("x2") if state == "loaded" else slots.drain("x2")
        if state == "elsewhere":
            assert slots.ready("x2")
        assert not slots.reserve(NEW, "n1", "y1", 4, retire=["x2"])


class TestLife:
    def test_it_only_goes_forward(self, redis: Redis, slots: SlotStore) -> None:
        announce_node(redis)
        start_instance(redis, VERSION)
        assert slots.loaded("x1")  # repeated after its successor
        assert states(slots) == {"x1": InstanceState.READY}
        assert slots.drain("x1")
        assert not slots.ready("x1")
        assert states(slots) == {"x1": InstanceState.DRAINING}

    def test_one_that_was_forgotten_is_told_so(self, slots: SlotStore) -> None:
        assert not slots.loaded("x1")
        assert not slots.ready("x1")
        assert not slots.drain("x1")
        assert slots.get("x1") is None

    def test_claim_fills_the_free_slots_in_order_of_arrival(self, redis: Redis, store: InvocationStore) -> None:
        for identity in ("a", "b", "c"):
            store.admit(make_invocation(VERSION, identity))
        start_instance(redis, VERSION, state="loaded")
        assert [assignment.invocation for assignment in store.claim("x1")] == ["a", "b"]
        assert store.claim("x1") == []

    @pytest.mark.parametrize("state", ["starting", "unknown"])
    def test_claim_gives_nothing_to_one_that_cannot_serve(
        self, redis: Redis, store: InvocationStore, state: str
    ) -> None:
        store.admit(make_invocation(VERSION, "a"))
        start_instance(redis, VERSION, state=state)
        assert store.claim("x1" if state == "starting" else "other") == []


class TestRetire:
    def test_an_idle_instance_drains(self, redis: Redis, slots: SlotStore) -> None:
        announce_node(redis)
        start_instance(redis, VERSION)
        assert slots.retire("x1")
        assert slots.retire("x1")  # repeated
        assert states(slots) == {"x1": InstanceState.DRAINING}

    def test_not_while_it_holds_a_lease(self, redis: Redis, store: InvocationStore, slots: SlotStore) -> None:
        start_instance(redis, VERSION)
        store.admit(make_invocation(VERSION, "a"))
        assert not slots.retire("x1")
        store.cancel("a", "enough")
        assert slots.retire("x1")

    def test_not_while_something_waits(self, redis: Redis, store: InvocationStore, slots: SlotStore) -> None:
        store.admit(make_invocation(VERSION, "a"))
        start_instance(redis, VERSION)
        assert not slots.retire("x1")

    def test_not_below_what_is_to_be_kept(self, redis: Redis, slots: SlotStore) -> None:
        announce_node(redis)
        start_instance(redis, VERSION, "x1")
        start_instance(redis, VERSION, "x2")
        assert slots.retire("x1", keep=1)
        assert not slots.retire("x2", keep=1)

    @pytest.mark.parametrize("state", ["starting", "loaded"])
    def test_not_before_it_is_ready(self, redis: Redis, slots: SlotStore, state: str) -> None:
        announce_node(redis)
        start_instance(redis, VERSION, state=state)
        assert not slots.retire("x1")
        assert not slots.retire("unknown")

    def test_of_a_retirement_and_an_admission_one_wins(
        self, valkey: ValkeyProcess, redis: Redis, store: InvocationStore, slots: SlotStore
    ) -> None:
        """Whatever the order: a draining instance never holds a new lease."""
        version = make_version(max_instances=100, concurrency=1)
        names = [start_instance(redis, version, f"x{i:02}") for i in range(60)]

        def retire() -> list[str]:
            with valkey.client() as client:
                return [name for name in names if SlotStore(client).retire(name)]

        with ThreadPoolExecutor(2) as pool:
            retiring = pool.submit(retire)
            admissions = [store.admit(make_invocation(version)) for _ in names]
            retired = set(retiring.result())
        taken = {a.assignment.instance for a in admissions if a.assignment}
        assert not taken & retired
        assert len(taken) + sum(a.position is not None for a in admissions) == len(names)


class TestRemove:
    def test_it_returns_the_leases_and_forgets_all_else(
        self, redis: Redis, store: InvocationStore, slots: SlotStore
    ) -> None:
        start_instance(redis, VERSION)
        for identity in ("a", "b", "waits"):
            store.admit(make_invocation(VERSION, identity))
        assert sorted(slots.remove("x1"), key=str) == [Lease("a", 1), Lease("b", 1)]
        assert slots.remove("x1") == []
        assert not list(redis.scan_iter("qt:*instance*"))
        assert store.get("waits").position == 1

    def test_its_memory_is_free_again(self, redis: Redis, slots: SlotStore) -> None:
        announce_node(redis, memory_bytes=MEMORY_BYTES)
        start_instance(redis, VERSION)
        slots.remove("x1")
        assert slots.reserve(VERSION, "n1", "x2", MEMORY_BYTES)

    def test_its_invocations_can_still_end_or_be_queued_again(
        self, redis: Redis, store: InvocationStore, slots: SlotStore
    ) -> None:
        start_instance(redis, VERSION)
        store.admit(make_invocation(VERSION, "a"))
        store.admit(make_invocation(VERSION, "b"))
        slots.remove("x1")
        assert lose(store, "a", 1) is Lost.REQUEUED
        assert store.cancel("b", "enough").done
        assert store.get("b").state is InvocationState.CANCELLED
        assert not redis.exists("qt:instance:x1", "qt:instance.leases:x1")


def test_idle_seconds_count_from_the_last_lease(redis: Redis, store: InvocationStore, slots: SlotStore) -> None:
    start_instance(redis, VERSION)
    store.admit(make_invocation(VERSION, "a"))
    assert slots.instances()[0].idle_seconds == 0
    store.cancel("a", "enough")
    redis.hincrbyfloat("qt:instance:x1", "idle_since", -50)
    assert 50 <= slots.instances()[0].idle_seconds < 60


def test_a_node_is_reminded_only_now_and_then(redis: Redis, slots: SlotStore) -> None:
    announce_node(redis)
    start_instance(redis, VERSION)
    assert not slots.remind("x1", 5)
    redis.hincrbyfloat("qt:instance:x1", "told_at", -5)
    assert slots.remind("x1", 5)
    assert not slots.remind("x1", 5)
    assert not slots.remind("unknown", 0)


class TestRoomThatIsGivenUp:
    """A node of 10 bytes whose instance of 10 (of v1) gives way to v2, which something waits for."""

    @pytest.fixture(autouse=True)
    def given_up(self, redis: Redis, slots: SlotStore, store: InvocationStore) -> None:
        announce_node(redis, memory_bytes=10)
        assert slots.reserve(VERSION, "n1", "x1", 10)
        assert slots.ready("x1")
        store.admit(make_invocation(OTHER, "waiting"))
        assert slots.drain("x1", OTHER.id)
        slots.remove("x1")

    def test_it_is_kept_for_the_version_that_it_was_given_up_for(self, redis: Redis, slots: SlotStore) -> None:
        [node] = read_view(redis).nodes
        assert (node.kept_for, node.kept_bytes) == (OTHER.id, 10)
        assert not slots.reserve(VERSION, "n1", "x2", 1)
        assert slots.reserve(OTHER, "n1", "y1", 4)
        assert slots.reserve(VERSION, "n1", "x2", 6)  # once it has started there, the rest is anybody's

    def test_not_when_nothing_waits_for_that_version_any_more(self, slots: SlotStore, store: InvocationStore) -> None:
        store.cancel("waiting", "enough")
        assert slots.reserve(VERSION, "n1", "x2", 10)

    def test_not_for_ever(self, redis: Redis, slots: SlotStore) -> None:
        assert not slots.reserve(VERSION, "n1", "x2", 1)
        redis.hset("qt:node:n1", "kept_until", "1.0")  # instead of sleeping
        assert slots.reserve(VERSION, "n1", "x2", 10)
