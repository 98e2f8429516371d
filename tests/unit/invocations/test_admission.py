from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from quickthaw.types import InvocationState, Limits
from quickthaw_platform.errors import Conflict, InvocationNotFound, QueueFull
from quickthaw_platform.invocations.records import Admission
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.settings import Settings
from tests.state import announce_node, make_invocation, make_version, start_instance
from tests.valkey_process import ValkeyProcess

VERSION = make_version(concurrency=2)


def test_a_call_that_finds_a_free_slot_is_assigned_at_once(redis: Redis, store: InvocationStore) -> None:
    start_instance(redis, VERSION)
    admission = store.admit(make_invocation(VERSION, "a"))
    assert admission.assignment is not None
    assert (admission.assignment.invocation, admission.assignment.epoch) == ("a", 1)
    assert (admission.assignment.instance, admission.assignment.node) == ("x1", "n1")
    info = store.get("a")
    assert (info.state, info.attempts, info.node, info.instance) == (InvocationState.ASSIGNED, 1, "n1", "x1")
    assert info.assigned_at is not None
    assert info.created_at <= info.assigned_at


def test_a_call_without_an_instance_waits_at_its_position(store: InvocationStore) -> None:
    assert store.admit(make_invocation(VERSION, "a")).position == 1
    assert store.admit(make_invocation(VERSION, "b")).position == 2
    assert store.get("b").position == 2
    store.cancel("a", "enough")
    assert store.get("b").position == 1


@pytest.mark.parametrize("state", ["starting", "loaded"])
def test_newcomers_lease_only_of_instances_that_have_proved_themselves(
    redis: Redis, store: InvocationStore, state: str
) -> None:
    start_instance(redis, VERSION, state=state)
    assert store.admit(make_invocation(VERSION)).position == 1


def test_nothing_is_leased_on_a_draining_instance_or_node(
    redis: Redis, store: InvocationStore, slots: SlotStore
) -> None:
    announce_node(redis, "n2")
    start_instance(redis, VERSION_TWO, "x1", "n1")
    start_instance(redis, VERSION_TWO, "x2", "n2")
    slots.drain("x1")
    announce_node(redis, "n2", state="draining")
    assert store.admit(make_invocation(VERSION_TWO, "a")).position == 1
    assert store.claim("x1") == []
    assert store.claim("x2") == []


VERSION_TWO = make_version("v2", concurrency=2, max_instances=4)


def test_the_fullest_instance_with_room_is_taken(redis: Redis, store: InvocationStore) -> None:
    start_instance(redis, VERSION_TWO, "x1")
    start_instance(redis, VERSION_TWO, "x2")
    taken = [store.admit(make_invocation(VERSION_TWO)).assignment for _ in range(4)]
    assert [a.instance for a in taken if a] == ["x1", "x1", "x2", "x2"]


def test_newcomers_find_an_instance_by_its_place_among_the_open_ones(
    redis: Redis, store: InvocationStore, slots: SlotStore
) -> None:
    open_ones = "qt:version.open:v2"
    start_instance(redis, VERSION_TWO, "x1")
    start_instance(redis, VERSION_TWO, "x2", state="loaded")
    assert redis.zrange(open_ones, 0, -1, withscores=True) == [("x1", 2)]
    slots.ready("x2")
    store.admit(make_invocation(VERSION_TWO, "a"))
    assert redis.zrange(open_ones, 0, -1, withscores=True) == [("x1", 1), ("x2", 2)]
    store.admit(make_invocation(VERSION_TWO, "b"))
    assert redis.zrange(open_ones, 0, -1) == ["x2"]
    store.cancel("a", "enough")
    assert redis.zrange(open_ones, 0, -1, withscores=True) == [("x1", 1), ("x2", 2)]
    slots.retire("x2")
    assert redis.zrange(open_ones, 0, -1) == ["x1"]
    slots.remove("x1")
    assert not redis.exists(open_ones)


@pytest.mark.parametrize("wrong", ["gone", "full"])
def test_a_wrong_place_among_the_open_ones_gives_no_slot_and_is_corrected(
    redis: Redis, store: InvocationStore, wrong: str
) -> None:
    start_instance(redis, VERSION, "full")
    for _ in range(2):
        store.admit(make_invocation(VERSION))
    redis.zadd("qt:version.open:v1", {wrong: 1})
    assert store.admit(make_invocation(VERSION)).position == 1
    assert not redis.exists("qt:version.open:v1")


def test_no_newcomer_overtakes_the_queue(redis: Redis, store: InvocationStore) -> None:
    """A slot is free and something waits (its owner has not claimed yet): the newcomer waits behind it."""
    store.admit(make_invocation(VERSION, "first"))
    start_instance(redis, VERSION)
    assert store.admit(make_invocation(VERSION, "newcomer")).position == 2
    assert [a.invocation for a in store.claim("x1")] == ["first", "newcomer"]


def test_a_full_queue_refuses_and_says_when_to_try_again(redis: Redis, store: InvocationStore) -> None:
    version = make_version(queue_size=1)
    store.admit(make_invocation(version))
    with pytest.raises(QueueFull) as refused:
        store.admit(make_invocation(version, "b"))
    assert refused.value.retry_after_seconds
    with pytest.raises(InvocationNotFound):
        store.get("b")


def test_a_queue_of_size_zero_still_serves_what_finds_a_slot(redis: Redis, store: InvocationStore) -> None:
    version = make_version(queue_size=0, concurrency=1)
    start_instance(redis, version)
    assert store.admit(make_invocation(version)).assignment
    with pytest.raises(QueueFull):
        store.admit(make_invocation(version))


def test_what_the_caller_sent_comes_back_unchanged(store: InvocationStore) -> None:
    """Empty arrays, large integers and text outside ASCII are what Lua's JSON would spoil."""
    request = {"input": {"a": [], "b": 2**62 + 1, "c": "žluťoučký", "d": {}, "e": 0.1}, "sampling": {}, "seed": -1}
    store.admit(make_invocation(VERSION, "a", request=request, webhook={"url": "http://x", "tags": []}, key_id="k"))
    assert store.request("a") == request
    assert store.webhook("a") == {"url": "http://x", "tags": []}
    assert store.key_id("a") == "k"


def test_limits_are_the_versions_unless_the_call_brings_its_own(store: InvocationStore) -> None:
    store.admit(make_invocation(VERSION, "a"))
    store.admit(make_invocation(VERSION, "b", limits=Limits(start=3)))
    assert store.limits("a") == VERSION.spec.limits
    assert store.limits("b").start == 3


def test_the_same_admission_twice_is_one(redis: Redis, store: InvocationStore) -> None:
    """The client library repeats a call whose answer was lost."""
    new = make_invocation(VERSION, "a")
    assert store.admit(new) == store.admit(new) == Admission(position=1)
    start_instance(redis, VERSION)
    claimed = store.claim("x1")
    assert store.admit(new).assignment == claimed[0]
    assert len(redis.hgetall("qt:instance.leases:x1")) == 1
    store.begin("a", 1, "n1", "x1")
    assert store.admit(new) == Admission(duplicate_of="a")


class TestIdempotencyKey:
    def test_a_repeated_call_finds_the_first_one_while_it_runs_and_when_it_has_ended(
        self, store: InvocationStore
    ) -> None:
        store.admit(make_invocation(VERSION, "a", idempotency_key="i", key_id="k"))
        again = make_invocation(VERSION, "b", idempotency_key="i", key_id="k")
        assert store.admit(again).duplicate_of == "a"
        store.cancel("a", "enough")
        assert store.admit(again).duplicate_of == "a"

    def test_one_that_was_taken_back_with_its_key_is_not_found(self, store: InvocationStore) -> None:
        store.admit(make_invocation(VERSION, "a", idempotency_key="i"))
        store.cancel("a", "another part failed", forget_key=True)
        assert store.admit(make_invocation(VERSION, "b", idempotency_key="i")).position is not None
        store.cancel("a", "once more", forget_key=True)
        assert store.admit(make_invocation(VERSION, "c", idempotency_key="i")).duplicate_of == "b"

    def test_another_request_with_the_same_key_is_a_conflict(self, store: InvocationStore) -> None:
        store.admit(make_invocation(VERSION, "a", idempotency_key="i"))
        with pytest.raises(Conflict):
            store.admit(make_invocation(VERSION, "b", idempotency_key="i", request={"input": {"prompt": "other"}}))

    def test_the_drawn_seed_makes_no_other_request(self, store: InvocationStore) -> None:
        store.admit(make_invocation(VERSION, "a", idempotency_key="i", request={"input": {}, "seed": 1}))
        again = make_invocation(VERSION, "b", idempotency_key="i", request={"input": {}, "seed": 2})
        assert store.admit(again).duplicate_of == "a"

    @pytest.mark.parametrize(
        ("version", "key_id"),
        [
            (VERSION, "other"),  # another caller
            (make_version("w", name="g"), "k"),  # another function
        ],
    )
    def test_keys_of_other_callers_and_functions_are_others(
        self, store: InvocationStore, version: object, key_id: str
    ) -> None:
        store.admit(make_invocation(VERSION, "a", idempotency_key="i", key_id="k"))
        new = make_invocation(version, "b", idempotency_key="i", key_id=key_id)  # type: ignore[arg-type]
        assert store.admit(new).position is not None

    def test_it_is_remembered_as_long_as_what_it_made(self, redis: Redis, store: InvocationStore) -> None:
        """Longer than other invocations, and together with the record: else a repeated call finds half of it."""
        store.admit(make_invocation(VERSION, "a", idempotency_key="i"))
        store.cancel("a", "enough")
        ttls = {redis.pttl(key) for key in redis.scan_iter("qt:i*")}
        assert len(ttls) <= 2  # milliseconds may pass between the reads
        assert min(ttls) > 86_000_000

    def test_a_refused_call_leaves_its_key_free(self, store: InvocationStore) -> None:
        version = make_version(queue_size=0)
        for _ in range(2):
            with pytest.raises(QueueFull):
                store.admit(make_invocation(version, idempotency_key="i"))


def test_many_threads_admit_no_more_than_there_are_slots(
    valkey: ValkeyProcess, redis: Redis, store: InvocationStore, platform_settings: Settings
) -> None:
    version = make_version(concurrency=7, max_instances=3, queue_size=10_000)
    for name in ("x1", "x2", "x3"):
        start_instance(redis, version, name)

    def admit(thread: int) -> list[Admission]:
        with valkey.client() as client:
            own = InvocationStore(client, platform_settings)
            return [own.admit(make_invocation(version, f"t{thread}-{i}")) for i in range(200)]

    with ThreadPoolExecutor(8) as pool:
        admissions = [admission for batch in pool.map(admit, range(8)) for admission in batch]
    assert sum(a.assignment is not None for a in admissions) == 21
    assert sorted(a.position for a in admissions if a.position) == list(range(1, 1600 - 21 + 1))
    assert [view.in_use for view in SlotStore(redis).instances()] == [7, 7, 7]
