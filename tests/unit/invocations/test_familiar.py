"""A call goes where its prompt's beginning was served last, while the load stays even and nobody is overtaken."""

from __future__ import annotations

import pytest
from redis import Redis

from quickthaw.types import InvocationState, Version
from quickthaw_platform.invocations.records import Admission
from quickthaw_platform.invocations.served import written
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from tests.state import announce_node, make_invocation, make_version, start_instance

FIRST, SECOND = ("a1-turn1",), ("b1-turn2", "c1-never", "a1-turn1")
"""Beginnings of two turns of one chat; the first two characters are their places."""


def two(redis: Redis, concurrency: int = 4) -> Version:
    """Bring up x1 and x2; without a beginning newcomers go to x1 as long as that has room."""
    version = make_version(concurrency=concurrency, max_instances=4)
    start_instance(redis, version, "x1")
    start_instance(redis, version, "x2")
    return version


def admit(store: InvocationStore, version: Version, name: str, beginnings: tuple[str, ...] = ()) -> Admission:
    return store.admit(make_invocation(version, name, beginnings=beginnings))


def where(admission: Admission) -> str | None:
    return admission.assignment.instance if admission.assignment else None


def end(store: InvocationStore, name: str) -> None:
    assert store.finish(name, store.get(name).epoch, InvocationState.SUCCEEDED).done


def serve_first_turn_on_x2(redis: Redis, store: InvocationStore, slots: SlotStore, concurrency: int = 4) -> Version:
    """Leave both instances idle, x2 having served the chat's first turn."""
    version = make_version(concurrency=concurrency, max_instances=4)
    start_instance(redis, version, "x2")
    assert where(admit(store, version, "turn1", FIRST)) == "x2"
    end(store, "turn1")
    start_instance(redis, version, "x1")
    return version


def test_the_next_turn_of_a_chat_goes_where_the_last_one_was(
    redis: Redis, store: InvocationStore, slots: SlotStore
) -> None:
    version = serve_first_turn_on_x2(redis, store, slots)
    assert where(admit(store, version, "other", ("d1-other",))) == "x1"
    end(store, "other")
    admission = admit(store, version, "turn2", SECOND)
    assert (where(admission), admission.familiar) == ("x2", True)


def test_the_longest_beginning_counts_and_of_equal_ones_the_latest(redis: Redis, store: InvocationStore) -> None:
    version = two(redis, concurrency=2)
    for name, beginnings, instance in (
        ("a", ("a1-chata", "s1-systm"), "x1"),
        ("b", ("a1-chata", "s1-systm"), "x1"),
        ("c", ("c1-chatc", "s1-systm"), "x2"),  # x1 is full
    ):
        assert where(admit(store, version, name, beginnings)) == instance
    for name in "abc":
        end(store, name)
    assert where(admit(store, version, "d", ("a2-chata", "a1-chata", "s1-systm"))) == "x1"
    end(store, "d")  # the system message was served there last now
    assert where(admit(store, version, "e", ("c2-chatc", "c1-chatc", "s1-systm"))) == "x2"
    end(store, "e")
    assert where(admit(store, version, "f", ("f1-chatf", "s1-systm"))) == "x2"


def test_an_instance_without_a_free_slot_is_not_waited_for(
    redis: Redis, store: InvocationStore, slots: SlotStore
) -> None:
    version = serve_first_turn_on_x2(redis, store, slots, concurrency=1)
    assert where(admit(store, version, "turn2", SECOND)) == "x2"
    admission = admit(store, version, "branch", SECOND)
    assert (where(admission), admission.familiar) == ("x1", False)


@pytest.mark.parametrize("gone", ["removed", "draining", "node draining"])
def test_an_instance_that_takes_nothing_new_is_passed_over(
    redis: Redis, store: InvocationStore, slots: SlotStore, gone: str
) -> None:
    version = make_version(concurrency=4, max_instances=4)
    announce_node(redis, "n2")
    start_instance(redis, version, "x2", node="n2")
    admit(store, version, "turn1", FIRST)
    end(store, "turn1")
    for name in ("x1", "x3"):
        start_instance(redis, version, name)
    if gone == "node draining":
        announce_node(redis, "n2", state="draining")
    elif gone == "draining":
        slots.drain("x2")
    else:
        slots.remove("x2")
    admission = admit(store, version, "turn2", SECOND)
    assert (where(admission), admission.familiar) == ("x1", False)


@pytest.mark.parametrize(
    ("concurrency", "held", "follows"),
    [
        (4, 2, True),  # half of the slots more than the other
        (4, 3, False),  # more than half
        (3, 1, True),
        (3, 2, False),
        (2, 1, True),
        (8, 5, False),
    ],
)
def test_a_beginning_is_followed_while_the_instance_holds_at_most_half_of_its_slots_more_than_another(
    redis: Redis, store: InvocationStore, slots: SlotStore, concurrency: int, held: int, follows: bool
) -> None:
    version = make_version(concurrency=concurrency, max_instances=4)
    start_instance(redis, version, "x2")
    for number in range(held):
        assert where(admit(store, version, f"runs{number}", FIRST)) == "x2"
    start_instance(redis, version, "x1")
    admission = admit(store, version, "turn2", SECOND)
    assert admission.familiar is follows
    if follows:
        assert where(admission) == "x2"


def test_a_crowded_instance_leaves_the_call_to_one_with_a_shorter_beginning(
    redis: Redis, store: InvocationStore
) -> None:
    version = make_version(concurrency=4, max_instances=4)
    start_instance(redis, version, "x3")
    for number in range(3):
        admit(store, version, f"long{number}", ("l1-long-",))
    slots = SlotStore(redis)
    start_instance(redis, version, "x2")
    redis.hset("qt:version.served:v1", "h1", "h1-short" * 4 + "x2")
    start_instance(redis, version, "x1")
    assert slots.drain("x1")
    admission = admit(store, version, "next", ("l2-long-", "l1-long-", "h1-short"))
    assert (where(admission), admission.familiar) == ("x2", True)


def test_who_cannot_lease_does_not_count_as_the_least_busy(redis: Redis, store: InvocationStore) -> None:
    """x1 and x2 hold as much; x3 is idle on a node that drains, and still has its place among the open ones."""
    version = make_version(concurrency=4, max_instances=4)
    announce_node(redis, "n2")
    for name in ("x1", "x2"):
        start_instance(redis, version, name)
    for number in range(7):
        admit(store, version, f"runs{number}", FIRST)
    end(store, "runs0")
    start_instance(redis, version, "x3", node="n2")
    announce_node(redis, "n2", state="draining")
    admission = admit(store, version, "turn2", SECOND)
    assert (where(admission), admission.familiar) == ("x2", True)
    assert redis.zscore("qt:version.open:v1", "x3") is None


def test_nobody_overtakes_the_queue_to_follow_a_beginning(
    redis: Redis, store: InvocationStore, slots: SlotStore
) -> None:
    version = serve_first_turn_on_x2(redis, store, slots, concurrency=1)
    for name in ("a", "b"):
        admit(store, version, name)
    assert admit(store, version, "waits").position == 1
    start_instance(redis, version, "x3")
    assert admit(store, version, "turn2", SECOND).position == 2
    assert [given.invocation for given in store.claim("x3")] == ["waits"]


def test_a_call_that_had_to_wait_leaves_its_beginnings_at_the_instance_that_took_it(
    redis: Redis, store: InvocationStore, slots: SlotStore
) -> None:
    version = make_version(concurrency=2, max_instances=4)
    assert admit(store, version, "turn1", FIRST).position == 1
    start_instance(redis, version, "x2")
    assert len(store.claim("x2")) == 1
    start_instance(redis, version, "x1")
    end(store, "turn1")
    assert where(admit(store, version, "turn2", SECOND)) == "x2"


def test_a_call_that_moved_leaves_its_beginnings_where_it_moved_to(redis: Redis, store: InvocationStore) -> None:
    version = make_version(concurrency=2, max_instances=4)
    announce_node(redis, "n2")
    start_instance(redis, version, "x1")
    admit(store, version, "turn1", FIRST)
    assert store.begin("turn1", 1, "n1", "x1")
    start_instance(redis, version, "x2", node="n2")
    assert store.accept(store.offer("turn1", "x2", 60.0), store.history("turn1"))
    end(store, "turn1")
    assert where(admit(store, version, "turn2", SECOND)) == "x2"


def test_beginnings_go_with_the_last_instance_of_their_version(
    redis: Redis, store: InvocationStore, slots: SlotStore
) -> None:
    version = serve_first_turn_on_x2(redis, store, slots)
    slots.remove("x2")
    assert redis.hget("qt:version.served:v1", "a1") == "a1-turn1" * 4 + "x2"
    slots.remove("x1")
    assert list(redis.scan_iter("qt:version.served:*")) == []
    start_instance(redis, version, "x1")
    assert where(admit(store, version, "turn2", SECOND)) == "x1"


def test_what_is_known_of_beginnings_is_a_table_and_never_searched_from_end_to_end(
    redis: Redis, store: InvocationStore
) -> None:
    admit(store, two(redis), "turn1", FIRST)
    assert redis.object("encoding", "qt:version.served:v1") == "hashtable"


def test_what_has_a_place_in_common_with_another_beginning_is_not_taken_for_it(
    redis: Redis, store: InvocationStore, slots: SlotStore
) -> None:
    version = serve_first_turn_on_x2(redis, store, slots)
    assert not admit(store, version, "another", ("a1-other",)).familiar
    end(store, "another")
    admission = admit(store, version, "turn2", SECOND)  # the other one took its place
    assert (where(admission), admission.familiar) == ("x1", False)


def test_a_call_asked_for_again_is_where_it_was(redis: Redis, store: InvocationStore, slots: SlotStore) -> None:
    version = serve_first_turn_on_x2(redis, store, slots)
    first, again = admit(store, version, "turn2", SECOND), admit(store, version, "turn2", SECOND)
    assert again.assignment == first.assignment


def test_the_scripts_always_get_four_beginnings_or_none() -> None:
    assert written(()) == ""
    assert written(FIRST) == "a1-turn1" * 4
    assert written(SECOND) == "b1-turn2c1-nevera1-turn1a1-turn1"
