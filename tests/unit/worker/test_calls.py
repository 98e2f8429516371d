"""What a node takes up of its calls, on a real Valkey: all of it, once, whatever else goes wrong."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from quickthaw.types import InvocationState
from quickthaw_platform.errors import Unavailable
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker.calls import Calls
from quickthaw_platform.worker.flight import Work
from tests.state import announce_node, make_invocation, make_version, start_instance

SECONDS = 10.0
VERSION = make_version(concurrency=8)


class Node:
    """The node n1 with one ready instance, and the work that its thread hands over."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self.work: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self.store = InvocationStore(redis, settings)
        self.calls = Calls(redis, settings, on_work=self.work.put, persist=_persist)
        announce_node(redis, "n1")
        start_instance(redis, VERSION)

    def call(self, identity: str, **fields: Any) -> None:
        assert self.store.admit(make_invocation(VERSION, identity, **fields)).assignment is not None

    def next(self) -> str:
        return self.work.get(timeout=SECONDS).invocation


def _persist(change: Callable[[], Any]) -> Any:
    while True:
        try:
            return change()
        except Unavailable:
            time.sleep(0.01)


@pytest.fixture
def node(redis: Redis, platform_settings: Settings) -> Iterator[Node]:
    node = Node(redis, platform_settings.model_copy(update={"node": "n1"}))
    node.calls.start()
    yield node
    node.calls.close()


def test_a_call_is_begun_by_having_been_admitted(node: Node) -> None:
    node.call("i1", request={"input": {"prompt": "hi"}, "sampling": {}, "seed": 7})
    work = node.work.get(timeout=SECONDS)
    assert (work.invocation, work.epoch, work.instance, work.next_seq) == ("i1", 1, "x1", 3)
    assert work.request["input"] == {"prompt": "hi"}
    assert node.store.get("i1").state is InvocationState.RUNNING


def test_calls_are_taken_up_in_their_order(node: Node) -> None:
    identities = [f"i{number}" for number in range(8)]
    for identity in identities:
        node.call(identity)
    assert [node.next() for _ in identities] == identities


def test_one_that_ended_before_it_was_taken_up_is_passed_over(redis: Redis, platform_settings: Settings) -> None:
    node = Node(redis, platform_settings.model_copy(update={"node": "n1"}))
    node.call("gone")
    node.call("stays")
    assert node.store.cancel("gone", "nobody listens").done
    node.calls.start()
    assert node.next() == "stays"
    node.calls.close()
    assert node.work.empty()


@pytest.mark.parametrize("field", ["limits", "request"])
def test_one_that_another_release_has_stored_otherwise_ends_with_the_reason(
    redis: Redis, platform_settings: Settings, field: str
) -> None:
    node = Node(redis, platform_settings.model_copy(update={"node": "n1"}))
    node.call("odd")
    node.call("even")
    redis.hset("qt:inv:odd", field, '{"total": "soon"')
    node.calls.start()
    assert node.next() == "even"
    node.calls.close()
    info = node.store.get("odd") if field == "request" else None
    error = redis.hget("qt:inv:odd", "error") if info is None else info.error
    assert "record_unreadable" in str(error)
    assert redis.hget("qt:inv:odd", "state") == "failed"


def test_an_entry_that_is_no_call_keeps_none_from_being_taken_up(redis: Redis, node: Node) -> None:
    redis.rpush("qt:node.calls:n1", "not a call")
    node.call("i1")
    assert node.next() == "i1"


def test_calls_are_taken_up_when_its_connection_has_broken(redis: Redis, node: Node) -> None:
    redis.client_kill_filter(_type="normal", skipme=True)
    node.call("i1")
    assert node.next() == "i1"


def test_it_ends_at_once_while_it_waits(redis: Redis, platform_settings: Settings) -> None:
    node = Node(redis, platform_settings.model_copy(update={"node": "n1"}))
    node.calls.start()
    began = time.monotonic()
    node.calls.close()
    assert time.monotonic() - began < SECONDS / 2
    node.call("late")
    assert node.work.empty()
    assert redis.llen("qt:node.calls:n1") == 1
