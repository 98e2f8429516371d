from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from quickthaw.types import InvocationState, Version
from quickthaw_platform.controller.clock import redis_time
from quickthaw_platform.controller.context import Context
from quickthaw_platform.controller.queues import serve, serve_waiting
from quickthaw_platform.stored_records import RecordUnreadable
from tests.recording import RecordingCommands
from tests.state import MEMORY_BYTES, announce_node, make_invocation, make_version, start_instance, take_calls

if TYPE_CHECKING:
    from tests.unit.controller.conftest import KnownVersions


def starts(commands: RecordingCommands) -> int:
    return len(commands.take("start"))


def small_version(identity: str = "v1", **spec: Any) -> Version:
    return make_version(identity, memory=MEMORY_BYTES, **spec)


@pytest.fixture(autouse=True)
def node(redis: Redis) -> None:
    announce_node(redis)


def test_what_waits_gets_the_instances_it_needs(
    context: Context, commands: RecordingCommands, versions: KnownVersions
) -> None:
    version = versions.add(small_version(concurrency=2, max_instances=5))
    for _ in range(5):
        context.store.admit(make_invocation(version))
    serve(context)
    assert starts(commands) == 3
    serve(context)
    assert starts(commands) == 0


def test_what_waits_for_a_version_of_another_release_is_left_to_that_one(
    context: Context, commands: RecordingCommands, versions: KnownVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    later, version = small_version("v0"), versions.add(small_version("v1"))
    context.store.admit(make_invocation(later, "a"))
    context.store.admit(make_invocation(version, "b"))
    known = versions.version

    def read(identity: str) -> Version:
        if identity == later.id:
            raise RecordUnreadable("it has a field that is not known here")
        return known(identity)

    monkeypatch.setattr(versions, "version", read)
    serve(context)
    assert starts(commands) == 1
    assert context.store.get("a").state is InvocationState.QUEUED


def test_a_free_slot_that_nobody_claimed_is_handed_out(
    redis: Redis, context: Context, commands: RecordingCommands, versions: KnownVersions
) -> None:
    version = versions.add(small_version(concurrency=2))
    context.store.admit(make_invocation(version, "a"))
    start_instance(redis, version)
    assert take_calls(redis) == []
    serve(context)
    assert commands.take() == []
    assert take_calls(redis) == [("a", "1", "x1")]


def test_a_version_that_no_alias_names_still_serves_what_waits(
    context: Context, commands: RecordingCommands, versions: KnownVersions
) -> None:
    version = versions.add(small_version(), pointed=False)
    context.store.admit(make_invocation(version))
    serve(context)
    assert starts(commands) == 1


def test_what_waits_for_a_deleted_function_ends(context: Context) -> None:
    context.store.admit(make_invocation(small_version(), "a"))
    serve(context)
    info = context.store.get("a")
    assert info.state is InvocationState.FAILED
    assert info.error is not None
    assert "deleted" in info.error["message"]


def test_two_functions_that_cannot_start_do_not_keep_a_third_waiting(
    context: Context, commands: RecordingCommands, versions: KnownVersions
) -> None:
    for identity, version in (
        ("refused", make_version("v1", checkpoint="nowhere")),
        ("served", small_version("v2")),
    ):
        versions.add(version)
        context.store.admit(make_invocation(version, identity))
    context.store.admit(make_invocation(make_version("v0"), "deleted"))
    serve(context)
    assert starts(commands) == 1
    assert context.store.get("refused").state is InvocationState.FAILED
    assert context.store.get("served").state is InvocationState.QUEUED


class TestMinimum:
    def test_it_is_started_without_demand(
        self, context: Context, commands: RecordingCommands, versions: KnownVersions
    ) -> None:
        versions.add(small_version(min_instances=2, max_instances=3))
        serve(context)
        assert starts(commands) == 2
        serve(context)
        assert starts(commands) == 0

    def test_it_holds_for_what_an_alias_points_to(
        self, context: Context, commands: RecordingCommands, versions: KnownVersions
    ) -> None:
        versions.add(small_version(min_instances=1), pointed=False)
        serve(context)
        assert starts(commands) == 0


class TestReplacement:
    """Of an instance that nobody waits for."""

    @pytest.fixture
    def clock(self, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Stand in for Redis' clock: what is in the list is the time."""
        clock = [redis_time(redis)]
        monkeypatch.setattr("quickthaw_platform.controller.wanted.redis_time", lambda _: clock[0])
        return clock

    @pytest.fixture
    def replaced_after(
        self, context: Context, commands: RecordingCommands, versions: KnownVersions, clock: list[float]
    ) -> Callable[[float], int]:
        """Let the instance die after so many seconds, and return after how many whole ones another is started."""
        versions.add(small_version(min_instances=1))
        serve(context)
        assert starts(commands) == 1

        def replaced_after(lived: float) -> int:
            for instance in context.slots.instances():
                context.slots.remove(instance.id)
            clock[0] += lived
            for seconds in range(100):
                serve(context)
                if starts(commands):
                    return seconds
                clock[0] += 1
            raise AssertionError("it is not replaced")

        return replaced_after

    def test_one_that_lived_for_a_while_is_replaced_at_once(self, replaced_after: Callable[[float], int]) -> None:
        assert [replaced_after(lived) for lived in (1, 2, 4, 8)] == [0, 0, 0, 0]

    def test_one_that_dies_at_once_again_and_again_is_replaced_ever_later_up_to_a_minute(
        self, replaced_after: Callable[[float], int]
    ) -> None:
        assert [replaced_after(0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
        assert replaced_after(50) == 10

    def test_deaths_are_forgotten_a_minute_after_the_next_start_was_allowed(
        self, redis: Redis, replaced_after: Callable[[float], int], clock: list[float]
    ) -> None:
        for _ in range(3):
            replaced_after(0)
        assert redis.expiretime("qt:controller.wanted:v1") == math.ceil(clock[0] + 8 + 60)
        redis.delete("qt:controller.wanted:v1")
        assert [replaced_after(0) for _ in range(3)] == [0, 1, 2]

    def test_without_room_it_is_tried_every_five_seconds(
        self,
        redis: Redis,
        context: Context,
        commands: RecordingCommands,
        replaced_after: Callable[[float], int],
        clock: list[float],
    ) -> None:
        announce_node(redis, memory_bytes=0)
        for instance in context.slots.instances():
            context.slots.remove(instance.id)
        clock[0] += 1
        serve(context)
        announce_node(redis)
        assert [replaced_after(0) for _ in range(2)] == [5, 2]


class TestReplicas:
    """Of serverful and hybrid versions."""

    def test_a_dead_replica_is_replaced(
        self, redis: Redis, context: Context, commands: RecordingCommands, versions: KnownVersions
    ) -> None:
        version = versions.add(small_version(backend="serverful", replicas=2, min_instances=2, max_instances=2))
        start_instance(redis, version, "a")
        start_instance(redis, version, "b")
        serve(context)
        assert starts(commands) == 0
        context.slots.remove("a")
        serve(context)
        assert starts(commands) == 1

    def test_a_waiting_call_starts_no_instance_of_a_serverful_version_beyond_its_replicas(
        self, redis: Redis, context: Context, commands: RecordingCommands, versions: KnownVersions
    ) -> None:
        fields = {"replicas": 1, "min_instances": 1, "max_instances": 3, "concurrency": 1}
        for identity, backend, expected in (("v1", "serverful", 0), ("v2", "hybrid", 1)):
            version = versions.add(small_version(identity, name=backend, backend=backend, **fields))
            start_instance(redis, version, f"{backend}-base")
            for number in range(2):
                context.store.admit(make_invocation(version, f"{backend}{number}"))
            serve_waiting(context)
            assert starts(commands) == expected, backend

    def test_a_call_starts_a_replica_that_is_missing(
        self, context: Context, commands: RecordingCommands, versions: KnownVersions
    ) -> None:
        version = versions.add(small_version(backend="serverful", replicas=1, min_instances=1))
        context.store.admit(make_invocation(version))
        serve_waiting(context)
        assert starts(commands) == 1
