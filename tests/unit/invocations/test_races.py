"""Many callers at once, clocks that are wrong, nodes and versions that come and go while invocations wait."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import pytest
from redis import Redis

from quickthaw.types import InvocationState
from quickthaw_platform import invocations
from quickthaw_platform.errors import NodeLost, StartFailed
from quickthaw_platform.invocations.queues import Queues
from quickthaw_platform.invocations.scripts import source
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.settings import Settings
from tests.state import MEMORY_BYTES, announce_node, make_invocation, make_version, start_instance
from tests.valkey_process import ValkeyProcess

RACES = 10_000
RACES_AT_ONCE = 50
VERSION = make_version(concurrency=8, queue_size=10_000)


def reservation(node: str, instance: str) -> list[str | int]:
    """Return what `reserve.lua` takes for the only byte of a node."""
    return [instance, f"version-{instance}", node, 1, 1, "", "", "function", "f", "concurrency", 1]


def race(valkey: ValkeyProcess, gateway: int) -> list[int]:
    """Try to reserve each of the last slots, as one of two gateways that saw it free."""
    taken: list[int] = []
    with valkey.client() as client:
        sha = client.script_load(source("reserve"))
        for begin in range(0, RACES, RACES_AT_ONCE):
            with client.pipeline(transaction=False) as pipe:
                for node in range(begin, begin + RACES_AT_ONCE):
                    pipe.evalsha(sha, 0, *reservation(f"n{node}", f"g{gateway}-{node}"))
                taken += pipe.execute()
    return taken


def test_of_two_gateways_that_take_the_last_slot_one_gets_it(valkey: ValkeyProcess, redis: Redis) -> None:
    with redis.pipeline(transaction=False) as pipe:
        for node in range(RACES):
            pipe.hset(f"qt:node:n{node}", mapping={"state": "ready", "memory_bytes": "1"})
        pipe.execute()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda gateway: race(valkey, gateway), (1, 2))
    assert [a + b for a, b in zip(first, second, strict=True)] == [1] * RACES
    assert redis.scard("qt:instances") == RACES


def test_of_two_gateways_that_retire_the_same_idle_instance_one_does(valkey: ValkeyProcess, redis: Redis) -> None:
    count = 100
    version = make_version(max_instances=count, concurrency=1)
    for number in range(count):
        announce_node(redis, f"n{number}", memory_bytes=MEMORY_BYTES)
        start_instance(redis, version, f"x{number}", f"n{number}")

    def take(gateway: int) -> list[bool]:
        new = make_version(f"w{gateway}", name=f"g{gateway}", max_instances=count)
        with valkey.client() as client:
            slots = SlotStore(client)
            return [
                slots.reserve(new, f"n{i}", f"g{gateway}-{i}", MEMORY_BYTES, retire=[f"x{i}"]) for i in range(count)
            ]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(take, (1, 2))
    assert [a + b for a, b in zip(first, second, strict=True)] == [1] * count


def test_a_thousand_calls_of_a_cold_function_are_served_in_order(redis: Redis, store: InvocationStore) -> None:
    ids = [f"i{number}" for number in range(1000)]
    for identity in ids:
        store.admit(make_invocation(VERSION, identity))
    start_instance(redis, VERSION, state="loaded")
    running = store.claim("x1")
    assert len(running) == 8
    SlotStore(redis).ready("x1")
    order = [assignment.invocation for assignment in running]
    while running:
        ended = running.pop(len(running) // 2)  # they end in another order than they began
        following = store.finish(ended.invocation, ended.epoch, InvocationState.SUCCEEDED).next
        if following is not None:
            order.append(following.invocation)
            running.append(following)
    assert order == ids
    assert Queues(redis).waiting() == {}


def test_calls_that_come_while_slots_get_free_are_all_served(
    valkey: ValkeyProcess, redis: Redis, store: InvocationStore, platform_settings: Settings
) -> None:
    """Everything is served once, and the slots never run over."""
    start_instance(redis, VERSION)

    def call(caller: int) -> list[str]:
        with valkey.client() as client:
            own = InvocationStore(client, platform_settings)
            return [_admitted(own, f"c{caller}-{number}") for number in range(100)]

    def _admitted(own: InvocationStore, identity: str) -> str:
        own.admit(make_invocation(VERSION, identity))
        return identity

    served: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        calling = [pool.submit(call, caller) for caller in range(4)]
        while len(served) < 400:
            store.claim("x1")
            held = SlotStore(redis).leases("x1")
            assert len(held) <= 8
            for lease in held:
                served.append(lease.invocation)
                store.finish(lease.invocation, lease.epoch, InvocationState.SUCCEEDED)
        admitted = [identity for caller in calling for identity in caller.result()]
    assert sorted(served) == sorted(admitted)


def test_a_node_that_comes_back_under_its_name_takes_up_nothing_old(
    redis: Redis, store: InvocationStore, slots: SlotStore
) -> None:
    """Its instances died with it: what they ran waits in its old place, and a new instance gets it."""
    start_instance(redis, VERSION, "old")
    first = store.admit(make_invocation(VERSION, "a")).assignment
    assert first is not None
    for lease in slots.remove("old"):
        store.lose(lease.invocation, lease.epoch, "the node was lost", NodeLost("gone"))
    announce_node(redis)
    assert store.admit(make_invocation(VERSION, "b")).position == 2
    assert not slots.ready("old")
    start_instance(redis, VERSION, "new")
    assert [(a.invocation, a.epoch, a.instance) for a in store.claim("new")] == [("a", 2, "new"), ("b", 1, "new")]
    assert store.begin("a", first.epoch, "n1", "old") == 0
    assert not store.finish("a", first.epoch, InvocationState.SUCCEEDED).done


class TestClocks:
    """Time is Redis' own: what a caller's clock says changes nothing."""

    def test_no_script_takes_a_time_from_its_caller(
        self, redis: Redis, store: InvocationStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hour_off = store.admit(make_invocation(VERSION, "a"))
        monkeypatch.setattr("time.time", lambda: 3600.0)
        assert store.admit(make_invocation(VERSION, "b")).position == (hour_off.position or 0) + 1
        a, b = store.get("a"), store.get("b")
        assert 0 <= b.created_at - a.created_at < 60

    def test_no_store_reads_its_own_clock(self) -> None:
        here = files(invocations)
        waits = ("log.py", "tails.py")  # they read the log, and decide nothing by the time
        decides = [path for path in here.iterdir() if path.name.endswith(".py") and path.name not in waits]
        assert len(decides) > 5
        for path in decides:
            assert not re.search(r"^\s*(import|from) (time|datetime)\b", path.read_text(), re.MULTILINE), path.name

    def test_every_script_that_needs_the_time_asks_redis(self) -> None:
        here = files(invocations)
        for path in (path for path in here.iterdir() if path.name.endswith(".lua")):
            assert not re.search(r"os\.(time|clock|date)", path.read_text()), path.name


class TestVersionsThatGo:
    def test_what_waits_for_a_version_that_was_replaced_is_served_by_it(
        self, redis: Redis, store: InvocationStore
    ) -> None:
        """A deploy or a rollback moves an alias; the version of a call was drawn when it came."""
        old, new = make_version("old", concurrency=1), make_version("new", concurrency=1)
        store.admit(make_invocation(old, "a"))
        store.admit(make_invocation(new, "b"))
        start_instance(redis, new, "x2")
        assert [a.invocation for a in store.claim("x2")] == ["b"]
        start_instance(redis, old, "x1")
        assert [a.invocation for a in store.claim("x1")] == ["a"]

    def test_what_waits_for_a_version_that_was_deleted_fails_with_the_cause(
        self, redis: Redis, store: InvocationStore, queues: Queues, slots: SlotStore
    ) -> None:
        for identity in ("a", "b"):
            store.admit(make_invocation(VERSION, identity))
        assert slots.reserve(VERSION, "n1", "x1", 1)  # it was starting for them
        error = StartFailed("the function was deleted")
        assert queues.fail_waiting("v1", error) == ["a", "b"]
        assert store.get("a").error == error.to_json()
        slots.drain("x1")
        assert store.claim("x1") == []
        assert slots.remove("x1") == []
        assert not redis.exists("qt:version.queue:v1", "qt:version.fair:v1", "qt:version.open:v1")
