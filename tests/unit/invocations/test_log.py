from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from quickthaw.types import Event, EventType, InvocationState
from quickthaw_platform.errors import InvocationNotFound, Unavailable
from quickthaw_platform.invocations.records import Chunk
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.settings import Settings
from tests.state import announce_node, make_invocation, make_version, start_instance
from tests.valkey_process import ValkeyProcess

VERSION = make_version()
PATIENCE_SECONDS = 0.3


def chunk(value: int) -> Chunk:
    return Chunk.of({"value": value})


def values(events: list[Event | None]) -> list[int]:
    return [event.data["value"] for event in events if event and event.type is EventType.CHUNK]


def begin(redis: Redis, store: InvocationStore) -> int:
    announce_node(redis)
    start_instance(redis, VERSION)
    store.admit(make_invocation(VERSION, "a"))
    return store.begin("a", 1, "n1", "x1")


class TestRead:
    def test_it_goes_on_after_a_position(self, redis: Redis, store: InvocationStore) -> None:
        seq = begin(redis, store)
        store.append("a", 1, seq, [chunk(0), chunk(1)])
        assert [event.seq for event in store.read("a", seq, 0)] == [seq + 1]
        assert store.read("a", seq + 1, 0) == []

    def test_it_waits_for_what_comes(self, valkey: ValkeyProcess, redis: Redis, store: InvocationStore) -> None:
        seq = begin(redis, store)
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(store.read, "a", seq - 1, 10.0)
            wait_for_reader(redis)
            store.append("a", 1, seq, [chunk(7)])
            assert values(list(reading.result(timeout=5))) == [7]


class TestFollow:
    def test_it_yields_all_and_ends_with_the_terminal_event(self, redis: Redis, store: InvocationStore) -> None:
        seq = begin(redis, store)
        store.append("a", 1, seq, [chunk(i) for i in range(1200)])  # more than one batch
        store.finish("a", 1, InvocationState.SUCCEEDED)
        log = list(store.follow("a"))
        assert values(log) == list(range(1200))
        assert log[-1] is not None
        assert log[-1].type is EventType.RESULT
        assert None not in log

    def test_it_yields_none_in_silence(self, redis: Redis, store: InvocationStore) -> None:
        seq = begin(redis, store)
        stream = store.follow("a", after=seq - 1, poll_seconds=0.01)
        assert next(stream) is None
        store.append("a", 1, seq, [chunk(7)])
        assert values([next(stream)]) == [7]

    def test_what_came_together_is_yielded_together(self, redis: Redis, store: InvocationStore) -> None:
        seq = begin(redis, store)
        stream = store.follow_each("a", after=seq - 1, poll_seconds=0.01)
        assert next(stream) == ()
        store.append("a", 1, seq, [chunk(1), chunk(2)])
        assert values(list(next(stream))) == [1, 2]
        store.finish("a", 1, InvocationState.SUCCEEDED)
        assert [[event.type for event in events] for events in stream] == [[EventType.RESULT]]

    def test_of_an_ended_log_it_yields_the_rest_without_waiting(self, redis: Redis, store: InvocationStore) -> None:
        seq = begin(redis, store)
        store.append("a", 1, seq, [chunk(1), chunk(2)])
        store.finish("a", 1, InvocationState.SUCCEEDED)
        assert values(list(store.follow("a", after=seq))) == [2]
        assert list(store.follow("a", after=seq + 2, poll_seconds=100)) == []

    def test_a_reader_ahead_of_the_log_still_gets_the_end(self, redis: Redis, store: InvocationStore) -> None:
        """Redis lost the last moments before a crash, the reader had seen them."""
        seq = begin(redis, store)
        store.finish("a", 1, InvocationState.SUCCEEDED)
        [last] = store.follow("a", after=seq + 50, poll_seconds=100)
        assert last is not None
        assert last.type is EventType.RESULT

    def test_many_readers_see_the_same(self, valkey: ValkeyProcess, redis: Redis, store: InvocationStore) -> None:
        seq = begin(redis, store)
        with ThreadPoolExecutor(8) as pool:
            readers = [pool.submit(lambda: list(store.follow("a"))) for _ in range(8)]
            for i in range(100):
                store.append("a", 1, seq + i, [chunk(i)])
            store.finish("a", 1, InvocationState.SUCCEEDED)
            assert {tuple(values(reader.result(timeout=10))) for reader in readers} == {tuple(range(100))}


class TestOutage:
    @pytest.fixture
    def own_redis(self, own_valkey: ValkeyProcess) -> Iterator[Redis]:
        with own_valkey.client() as client:
            yield client

    def test_a_stream_goes_on_where_it_was_when_redis_is_back(
        self, own_valkey: ValkeyProcess, own_redis: Redis
    ) -> None:
        store = InvocationStore(own_redis, Settings(redis_url=own_valkey.url))
        seq = begin(own_redis, store)
        store.append("a", 1, seq, [chunk(0)])
        with ThreadPoolExecutor(1) as pool:
            stream = store.follow("a", after=seq - 1, poll_seconds=0.2)
            assert values([next(stream)]) == [0]
            rest = pool.submit(list, stream)
            wait_for_reader(own_redis)
            own_valkey.kill()
            time.sleep(0.5)  # the outage: longer than a poll, so that silence is heard
            own_valkey.start()
            assert store.append("a", 1, seq + 1, [chunk(1)])
            store.finish("a", 1, InvocationState.SUCCEEDED)
            log = rest.result(timeout=10)
        assert values(log) == [1]
        assert None in log
        assert log[-1] is not None
        assert log[-1].type is EventType.RESULT

    def test_patience_ends(self, own_valkey: ValkeyProcess, own_redis: Redis) -> None:
        patience = Settings(redis_url=own_valkey.url, outage_patience=PATIENCE_SECONDS)
        store = InvocationStore(own_redis, patience)
        seq = begin(own_redis, store)
        stream = store.follow("a", after=seq - 1, poll_seconds=0.05)
        assert next(stream) is None
        own_valkey.kill()
        with pytest.raises(Unavailable):
            list(stream)

    def test_a_log_that_redis_lost_is_not_found(self, redis: Redis, store: InvocationStore) -> None:
        """A Redis without persistence came back empty."""
        seq = begin(redis, store)
        stream = store.follow("a", after=seq - 1, poll_seconds=0.01)
        assert next(stream) is None
        redis.flushall()
        with pytest.raises(InvocationNotFound):
            list(stream)


def wait_for_reader(redis: Redis) -> None:
    """Wait until a client blocks in a read."""
    until = time.monotonic() + 5
    while not redis.info("clients")["blocked_clients"]:
        assert time.monotonic() < until
        time.sleep(0.002)


def test_greenlets_follow_while_others_write(valkey: ValkeyProcess, redis: Redis) -> None:
    """Under gevent's patches, as in the gateway: a blocking read must block its own greenlet only."""
    done = subprocess.run(
        [sys.executable, "-c", GREENLETS, valkey.url], capture_output=True, text=True, timeout=60, cwd=Path.cwd()
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["100"] * 20


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from quickthaw.types import EventType, InvocationState
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.redis_client import connect
from quickthaw_platform.settings import Settings
from tests.state import announce_node, make_invocation, make_version, start_instance

from quickthaw_platform.invocations.records import Chunk

settings = Settings(redis_url=sys.argv[1])
redis = connect(settings)
store = InvocationStore(redis, settings)
announce_node(redis)
start_instance(redis, make_version())
store.admit(make_invocation(make_version(), "a"))
seq = store.begin("a", 1, "n1", "x1")

def read():
    return sum(event.type is EventType.CHUNK for event in store.follow("a") if event)

def write():
    for i in range(100):
        store.append("a", 1, seq + i, [Chunk.of({"value": i})])
    store.finish("a", 1, InvocationState.SUCCEEDED)

readers = [gevent.spawn(read) for _ in range(20)]
gevent.spawn(write)
print(*(reader.get(timeout=30) for reader in readers))
"""
