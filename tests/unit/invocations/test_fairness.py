"""Queues are fair between API keys: start-time fair queueing."""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from quickthaw.types import InvocationState
from quickthaw_platform.invocations.records import Assignment, Lease, Lost
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from tests.made_up import examples
from tests.state import announce_node, lose, make_invocation, make_version, start_instance

VERSION = make_version(concurrency=1, queue_size=10_000)
FAIR = "qt:version.fair:v1"


def admit(store: InvocationStore, key: str, count: int, weight: float = 1.0) -> list[str]:
    ids = [f"{key}{i}" for i in range(count)]
    for identity in ids:
        store.admit(make_invocation(VERSION, identity, key_id=key, key_weight=weight))
    return ids


def serve(redis: Redis, store: InvocationStore, most: int) -> list[str]:
    """Serve one after another, in the order in which the only slot is given; the last is left running."""
    served: list[str] = []
    held: list[Lease | Assignment] = [*SlotStore(redis).leases("x1"), *store.claim("x1")]
    running = held[0] if held else None
    while running is not None and len(served) < most:
        served.append(running.invocation)
        running = store.finish(running.invocation, running.epoch, InvocationState.SUCCEEDED).next
    return served


def test_one_key_is_served_in_order_of_arrival(redis: Redis, store: InvocationStore) -> None:
    ids = admit(store, "a", 50, weight=3.0)
    start_instance(redis, VERSION)
    assert serve(redis, store, 50) == ids


def test_a_flood_of_one_key_delays_another_by_one_service_each(redis: Redis, store: InvocationStore) -> None:
    admit(store, "a", 100)
    start_instance(redis, VERSION)
    assert serve(redis, store, 10) == [f"a{i}" for i in range(10)]
    admit(store, "b", 5)
    order = serve(redis, store, 200)
    places = [order.index(f"b{i}") for i in range(5)]
    assert places[0] <= 2  # the one that runs, and one more
    assert all(later - earlier == 2 for earlier, later in itertools.pairwise(places))


def test_the_position_is_the_place_that_fairness_gives(store: InvocationStore) -> None:
    admit(store, "a", 10)
    assert store.admit(make_invocation(VERSION, "b", key_id="b")).position == 2
    assert store.get("b").position == 2
    assert store.read("b", 0, 0)[0].data["position"] == 2
    assert store.get("a1").position == 3


@settings(max_examples=examples(20), suppress_health_check=list(HealthCheck))
@given(
    weights=st.tuples(st.sampled_from([1.0, 2.0, 3.0, 0.5]), st.sampled_from([1.0, 3.0, 5.0])),
    first=st.integers(0, 20),
    begin=st.integers(0, 20),
    length=st.integers(1, 30),
)
def test_over_any_window_keys_share_by_their_weights(
    redis: Redis, store: InvocationStore, weights: tuple[float, float], first: int, begin: int, length: int
) -> None:
    """While both are backlogged the services per weight differ by no more than 1 / weight + 1 / weight (the bound of
    the paper); one of them is served for a while before the other arrives.
    """
    redis.flushall()
    announce_node(redis)
    admit(store, "a", 70 + first + begin, weights[0])
    start_instance(redis, VERSION)
    serve(redis, store, first)
    admit(store, "b", 70, weights[1])
    window = serve(redis, store, begin + length)[begin:]
    assert len(window) == length
    served = [sum(name.startswith(key) for name in window) for key in "ab"]
    apart = abs(served[0] / weights[0] - served[1] / weights[1])
    assert apart <= 1 / weights[0] + 1 / weights[1] + 1e-9


def test_three_to_one_is_three_to_one(redis: Redis, store: InvocationStore) -> None:
    admit(store, "a", 100, weight=3.0)
    admit(store, "b", 100)
    start_instance(redis, VERSION)
    order = serve(redis, store, 100)
    for begin in range(0, 60):
        window = order[begin : begin + 40]
        assert abs(sum(name.startswith("a") for name in window) - 30) <= 1


def test_what_ran_directly_and_comes_back_is_first_again(redis: Redis, store: InvocationStore) -> None:
    start_instance(redis, VERSION)
    assert store.admit(make_invocation(VERSION, "direct", key_id="a")).assignment
    admit(store, "b", 2)
    assert lose(store, "direct", 1) is Lost.REQUEUED
    assert store.get("direct").position == 1
    assert serve(redis, store, 3) == ["direct", "b0", "b1"]


def test_what_comes_back_after_the_queue_was_empty_is_before_newcomers(redis: Redis, store: InvocationStore) -> None:
    """Its tag is of the queue's past: newcomers' tags must not begin anew at zero."""
    ids = admit(store, "a", 20)
    start_instance(redis, VERSION)
    serve(redis, store, 19)
    last = store.get(ids[-1])  # it runs, and nothing waits
    assert last.state is InvocationState.ASSIGNED
    admit(store, "b", 3)
    assert lose(store, last.id, last.epoch) is Lost.REQUEUED
    assert store.get(last.id).position == 1


def test_a_key_keeps_its_order_though_older_calls_of_another_came_back(redis: Redis, store: InvocationStore) -> None:
    version = make_version("v1", concurrency=4)
    start_instance(redis, version)
    admit(store, "a", 4)
    for identity in ("a4", "a5"):
        store.admit(make_invocation(version, identity, key_id="a"))
    for identity in ("a0", "a1", "a2"):
        store.finish(identity, 1, InvocationState.SUCCEEDED)
    assert store.admit(make_invocation(version, "b0", key_id="b")).assignment
    assert lose(store, "a5", 1) is Lost.REQUEUED
    assert store.admit(make_invocation(version, "b1", key_id="b")).position == 2
    assert lose(store, "b0", 1) is Lost.REQUEUED
    assert [store.get(identity).position for identity in ("a5", "b0", "b1")] == [1, 2, 3]


def test_a_function_without_calls_leaves_no_state(redis: Redis, store: InvocationStore, slots: SlotStore) -> None:
    start_instance(redis, VERSION)
    admit(store, "a", 3)
    assert redis.exists(FAIR)
    assert redis.ttl(FAIR) > 0
    for identity in ("a0", "a1", "a2"):
        store.cancel(identity, "enough")
    assert not redis.exists(FAIR)
    assert slots.instances()[0].in_use == 0
