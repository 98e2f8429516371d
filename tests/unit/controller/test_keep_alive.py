from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis import Redis

from quickthaw.types import Version
from quickthaw_platform.contracts import InstanceState
from quickthaw_platform.controller.context import Context
from quickthaw_platform.controller.keep_alive import retire_idle
from tests.recording import RecordingCommands
from tests.state import announce_node, make_invocation, make_version, start_instance

if TYPE_CHECKING:
    from tests.unit.controller.conftest import KnownVersions


def idle_for(redis: Redis, version: Version, instance: str, seconds: float) -> None:
    start_instance(redis, version, instance)
    redis.hincrbyfloat(f"qt:instance:{instance}", "idle_since", -seconds)


def serving(context: Context) -> set[str]:
    return {view.id for view in context.slots.instances() if view.state is not InstanceState.DRAINING}


@pytest.fixture(autouse=True)
def node(redis: Redis) -> None:
    announce_node(redis)


def test_an_instance_goes_when_its_time_has_come(
    redis: Redis, context: Context, commands: RecordingCommands, versions: KnownVersions
) -> None:
    version = versions.add(make_version(keep_alive=60, max_instances=4))
    idle_for(redis, version, "long", 61)
    idle_for(redis, version, "short", 50)
    retire_idle(context)
    assert serving(context) == {"short"}
    assert commands.take() == [("stop", "n1", "long")]


def test_with_no_keep_alive_it_goes_at_once(redis: Redis, context: Context, versions: KnownVersions) -> None:
    start_instance(redis, versions.add(make_version(keep_alive=0)))
    retire_idle(context)
    assert serving(context) == set()


def test_one_that_serves_stays(redis: Redis, context: Context, versions: KnownVersions) -> None:
    version = versions.add(make_version(keep_alive=0))
    start_instance(redis, version)
    context.store.admit(make_invocation(version))
    retire_idle(context)
    assert serving(context) == {"x1"}


def test_one_that_has_not_been_ready_yet_stays(redis: Redis, context: Context, versions: KnownVersions) -> None:
    start_instance(redis, versions.add(make_version(keep_alive=0)), state="loaded")
    retire_idle(context)
    assert serving(context) == {"x1"}


def test_the_longest_idle_go_first_and_the_minimum_stays(
    redis: Redis, context: Context, versions: KnownVersions
) -> None:
    version = versions.add(make_version(keep_alive=10, min_instances=1, max_instances=4))
    for name, seconds in (("b", 20), ("a", 30), ("c", 40)):
        idle_for(redis, version, name, seconds)
    retire_idle(context)
    assert serving(context) == {"b"}
    retire_idle(context)
    assert serving(context) == {"b"}


def test_a_version_that_no_alias_names_keeps_nothing(redis: Redis, context: Context, versions: KnownVersions) -> None:
    start_instance(redis, versions.add(make_version(keep_alive=1000, min_instances=1), pointed=False), "old")
    start_instance(redis, versions.add(make_version("v2", keep_alive=1000)), "new")
    start_instance(redis, make_version("v3", keep_alive=1000), "deleted")
    retire_idle(context)
    assert serving(context) == {"new"}


def test_a_serverful_version_keeps_its_replicas_and_nothing_beyond_what_is_wanted(
    redis: Redis, context: Context, versions: KnownVersions
) -> None:
    version = versions.add(
        make_version(backend="serverful", replicas=1, min_instances=1, max_instances=3, keep_alive=1000)
    )
    for name in ("a", "b", "c"):
        idle_for(redis, version, name, 1)
    retire_idle(context)
    assert len(serving(context)) == 1
    retire_idle(context)
    assert len(serving(context)) == 1


def test_what_a_hybrid_version_has_beyond_its_base_stays_for_its_time(
    redis: Redis, context: Context, versions: KnownVersions
) -> None:
    version = versions.add(make_version(backend="hybrid", replicas=1, min_instances=1, max_instances=3, keep_alive=60))
    idle_for(redis, version, "base", 100)
    idle_for(redis, version, "overflow", 50)
    retire_idle(context)
    assert serving(context) == {"overflow"}
    redis.hincrbyfloat("qt:instance:overflow", "idle_since", -1000)
    retire_idle(context)
    assert serving(context) == {"overflow"}
