"""Draining nodes are emptied, and moves that come to nothing are ended."""

from __future__ import annotations

import pytest
from redis import Redis

from quickthaw.types import InvocationState, Version
from quickthaw_platform.controller.context import Context
from quickthaw_platform.controller.moves import empty_draining_nodes, end_late_moves
from quickthaw_platform.controller.sweep import sweep
from tests.recording import RecordingCommands
from tests.state import MEMORY_BYTES, announce_node, make_invocation, make_version, rewind, start_instance
from tests.unit.controller.conftest import KnownVersions

VERSION = make_version(concurrency=2, max_instances=2)


def run(context: Context, identity: str, version: Version = VERSION) -> str:
    """Have an invocation run wherever it gets a slot."""
    assignment = context.store.admit(make_invocation(version, identity)).assignment
    assert assignment is not None
    assert context.store.begin(identity, assignment.epoch, assignment.node, assignment.instance)
    return assignment.instance


def drain(redis: Redis, node: str) -> None:
    redis.hset(f"qt:node:{node}", "state", "draining")


@pytest.fixture(autouse=True)
def nodes(redis: Redis, versions: KnownVersions) -> None:
    """The nodes n1, where x1 is, and n2."""
    versions.add(VERSION)
    announce_node(redis, "n1")
    announce_node(redis, "n2")
    start_instance(redis, VERSION, "x1", "n1")


def test_what_runs_on_a_draining_node_is_offered_to_another(
    redis: Redis, context: Context, commands: RecordingCommands
) -> None:
    for identity in ("a", "b"):
        assert run(context, identity) == "x1"
    start_instance(redis, VERSION, "x2", "n2")
    drain(redis, "n1")
    empty_draining_nodes(context)
    assert sorted(commands.take()) == [("receive", "n2", "x2", "a"), ("receive", "n2", "x2", "b")]
    assert {context.store.get(identity).node for identity in ("a", "b")} == {"n1"}  # until n2 takes them


def test_where_no_instance_is_one_is_started_though_it_is_one_too_many(
    redis: Redis, context: Context, commands: RecordingCommands
) -> None:
    full = make_version("v2", memory=MEMORY_BYTES, concurrency=1, max_instances=1)
    context.versions.add(full)  # type: ignore[attr-defined]  # a KnownVersions
    start_instance(redis, full, "y1", "n1")
    assert run(context, "a", full) == "y1"
    drain(redis, "n1")
    empty_draining_nodes(context)
    started = next(view for view in context.slots.instances(version="v2") if view.id != "y1")
    assert (started.node, started.in_use) == ("n2", 1)
    assert commands.take() == [("start", "n2", started.id, "v2"), ("receive", "n2", started.id, "a")]


def test_the_next_rounds_leave_what_moves_already_alone(
    redis: Redis, context: Context, commands: RecordingCommands
) -> None:
    """Its slot makes the other instance full: nothing more is started for it."""
    single = make_version("v2", memory=MEMORY_BYTES, concurrency=1, max_instances=10)
    context.versions.add(single)  # type: ignore[attr-defined]  # a KnownVersions
    start_instance(redis, single, "y1", "n1")
    run(context, "a", single)
    drain(redis, "n1")
    for _ in range(3):
        empty_draining_nodes(context)
    assert [command[0] for command in commands.take()] == ["start", "receive"]
    assert len(context.slots.instances(version="v2")) == 2


def test_what_cannot_move_stays_and_the_rest_moves(redis: Redis, context: Context, commands: RecordingCommands) -> None:
    fixed = make_version("v2", resumable=False)
    context.versions.add(fixed)  # type: ignore[attr-defined]  # a KnownVersions
    start_instance(redis, fixed, "w1", "n1")
    run(context, "stays", fixed)
    run(context, "moves")
    context.store.admit(make_invocation(VERSION, "assigned"))
    start_instance(redis, VERSION, "x2", "n2")
    drain(redis, "n1")
    empty_draining_nodes(context)
    assert commands.take() == [("receive", "n2", "x2", "moves")]
    assert context.slots.instances(version="v2")[0].in_use == 1


@pytest.mark.parametrize("draining", [(), ("n1", "n2")], ids=["none drains", "all drain"])
def test_without_a_node_to_leave_or_to_go_to_nothing_happens(
    redis: Redis, context: Context, commands: RecordingCommands, draining: tuple[str, ...]
) -> None:
    run(context, "a")
    start_instance(redis, VERSION, "x2", "n2")
    for node in draining:
        drain(redis, node)
    empty_draining_nodes(context)
    assert commands.take() == []


def test_a_version_that_is_gone_does_not_keep_others_from_moving(
    redis: Redis, context: Context, commands: RecordingCommands
) -> None:
    unknown = make_version("v0")
    start_instance(redis, unknown, "u1", "n1")
    run(context, "of-unknown", unknown)
    run(context, "moves")
    start_instance(redis, VERSION, "x2", "n2")
    drain(redis, "n1")
    empty_draining_nodes(context)
    assert commands.take() == [("receive", "n2", "x2", "moves")]


def test_a_move_whose_time_is_up_gives_its_slot_back(redis: Redis, context: Context) -> None:
    run(context, "a")
    start_instance(redis, VERSION, "x2", "n2")
    context.store.offer("a", "x2", 60)
    end_late_moves(context)
    assert context.slots.leases("x2") != []
    rewind(redis, "qt:moves", "a", 61)
    end_late_moves(context)
    assert context.slots.leases("x2") == []
    info = context.store.get("a")
    assert (info.state, info.instance) == (InvocationState.RUNNING, "x1")


def test_both_are_steps_of_a_round(redis: Redis, context: Context, commands: RecordingCommands) -> None:
    for identity in ("late", "moves"):
        run(context, identity)
    start_instance(redis, VERSION, "x2", "n2")
    context.store.offer("late", "x2", 0)
    drain(redis, "n1")
    sweep(context)
    assert sorted(commands.take("receive")) == [("receive", "n2", "x2", "late"), ("receive", "n2", "x2", "moves")]
