from __future__ import annotations

import pytest
from redis import Redis

from quickthaw.types import InvocationState, Version
from quickthaw_platform.controller.context import Context
from quickthaw_platform.controller.sweep import REMIND_SECONDS, sweep
from quickthaw_platform.errors import Unavailable
from quickthaw_platform.invocations.records import Chunk
from quickthaw_platform.invocations.watch import UNTOLD_SECONDS
from tests.recording import RecordingCommands
from tests.state import (
    announce_node,
    lose,
    make_invocation,
    make_limits,
    make_version,
    rewind,
    start_instance,
    take_calls,
)

VERSION = make_version(concurrency=2, max_instances=4)


def admit_and_begin(context: Context, identity: str, version: Version = VERSION, *, output: bool = False) -> None:
    assignment = context.store.admit(make_invocation(version, identity)).assignment
    assert assignment is not None
    seq = context.store.begin(identity, assignment.epoch, assignment.node, assignment.instance)
    if output:
        context.store.append(identity, assignment.epoch, seq, [Chunk.of({"value": 1})])


def let_die(context: Context, *nodes: str) -> None:
    """As if the nodes had been silent for longer than the TTL while the controller was listening."""
    settings = context.settings
    for _ in range(6):
        context.redis.hincrbyfloat("qt:controller.watch", "last_sweep", -settings.controller_interval)
        dead = context.watch.dead_nodes(settings.controller_interval, settings.heartbeat_ttl)
    assert {node.id for node in dead} == set(nodes)


class TestDeadNode:
    def test_its_invocations_are_settled_and_it_is_forgotten(
        self, redis: Redis, context: Context, commands: RecordingCommands
    ) -> None:
        announce_node(redis, "dies")
        start_instance(redis, VERSION, "x1", "dies")
        admit_and_begin(context, "silent")
        admit_and_begin(context, "has-put-out", output=True)
        context.store.admit(make_invocation(VERSION, "waits"))
        let_die(context, "dies")
        commands.take()
        sweep(context)
        assert context.store.get("silent").state is InvocationState.QUEUED
        assert context.store.get("silent").position == 1
        queued = context.store.get("has-put-out")
        assert (queued.state, queued.position) == (InvocationState.QUEUED, 2)
        assert queued.reason is not None
        assert f"node dies has not been heard of for {context.settings.heartbeat_ttl:g} s" in queued.reason
        assert context.store.get("waits").position == 3
        assert context.slots.instances() == []
        assert not redis.exists("qt:nodes", "qt:node:dies")
        assert commands.take() == [("stop", "dies", "x1"), ("serve",)]  # the first for when it was only cut off

    def test_others_go_on(self, redis: Redis, context: Context) -> None:
        announce_node(redis, "dies")
        announce_node(redis, "lives")
        start_instance(redis, VERSION, "x1", "lives")
        admit_and_begin(context, "a")
        let_die(context, "dies", "lives")
        announce_node(redis, "lives")  # it beats after all
        sweep(context)
        assert redis.smembers("qt:nodes") == {"lives"}
        assert context.store.get("a").state is InvocationState.RUNNING

    def test_one_tried_often_enough_fails(self, redis: Redis, context: Context) -> None:
        for attempt in range(context.settings.max_attempts):
            announce_node(redis, "dies")
            start_instance(redis, VERSION, "x1", "dies")
            if attempt == 0:
                context.store.admit(make_invocation(VERSION, "a"))
            else:
                context.store.claim("x1")
            assert context.store.begin("a", attempt + 1, "dies", "x1")
            let_die(context, "dies")
            sweep(context)
        assert context.store.get("a").state is InvocationState.FAILED

    def test_a_sweep_that_was_cut_off_is_done_again(self, redis: Redis, context: Context) -> None:
        """Whatever step it got to: here it drained and settled one of two."""
        announce_node(redis, "dies")
        start_instance(redis, VERSION, "x1", "dies")
        admit_and_begin(context, "a")
        admit_and_begin(context, "b")
        let_die(context, "dies")
        context.slots.drain("x1")
        lose(context.store, "a", 1, "node dies is gone")
        sweep(context)
        assert [context.store.get(identity).position for identity in ("a", "b")] == [1, 2]
        assert not redis.exists("qt:nodes", "qt:instances")


def test_instances_of_a_node_that_is_not_known_are_settled(redis: Redis, context: Context) -> None:
    announce_node(redis)
    start_instance(redis, VERSION, "starting", state="starting")
    start_instance(redis, VERSION, "serving")
    admit_and_begin(context, "a")
    redis.delete("qt:node:n1", "qt:nodes")
    sweep(context)
    assert context.slots.instances() == []
    assert context.store.get("a").state is InvocationState.QUEUED


class TestDeadlines:
    def test_what_runs_is_cancelled_on_its_node_and_what_gets_its_slot_is_told(
        self, redis: Redis, context: Context, commands: RecordingCommands
    ) -> None:
        version = make_version(concurrency=1)
        announce_node(redis)
        start_instance(redis, version)
        admit_and_begin(context, "a", version)
        context.store.admit(make_invocation(version, "b"))
        rewind(redis, "qt:deadlines", "a", 10_000)
        sweep(context)
        assert context.store.get("a").state is InvocationState.TIMED_OUT
        assert commands.take() == [("cancel", "n1", "a")]
        assert take_calls(redis) == [("a", "1", "x1"), ("b", "1", "x1")]

    def test_more_than_one_batch_in_one_round(self, redis: Redis, context: Context) -> None:
        ids = [f"i{i}" for i in range(450)]
        for identity in ids:
            context.store.admit(make_invocation(VERSION, identity, limits=make_limits(start=1e-9)))
        sweep(context)
        assert context.queues.waiting() == {}
        assert context.store.get(ids[-1]).state is InvocationState.TIMED_OUT


class TestStale:
    def test_an_assignment_that_nobody_took_up_is_told_again(self, redis: Redis, context: Context) -> None:
        announce_node(redis)
        start_instance(redis, VERSION)
        context.store.admit(make_invocation(VERSION, "a"))
        assert take_calls(redis) == [("a", "1", "x1")]
        sweep(context)
        assert take_calls(redis) == []
        rewind(redis, "qt:active", "a", UNTOLD_SECONDS)
        sweep(context)
        sweep(context)
        assert take_calls(redis) == [("a", "1", "x1")]

    def test_an_orphan_is_settled(self, redis: Redis, context: Context) -> None:
        announce_node(redis)
        start_instance(redis, VERSION)
        admit_and_begin(context, "silent")
        admit_and_begin(context, "has-put-out", output=True)
        context.slots.remove("x1")
        for identity in ("silent", "has-put-out"):
            rewind(redis, "qt:active", identity, UNTOLD_SECONDS)
        sweep(context)
        assert context.store.get("silent").state is InvocationState.QUEUED
        assert context.store.get("has-put-out").state is InvocationState.QUEUED


@pytest.mark.parametrize(
    ("state", "command"),
    [
        ("starting", ("start", "n1", "x1", "v1")),  # reserved by one who died before telling the node
        ("draining", ("stop", "n1", "x1")),  # retired by one who died before telling the node
        ("loaded", None),
        ("ready", None),
    ],
)
def test_commands_that_may_be_lost_are_sent_again_now_and_then(
    redis: Redis, context: Context, commands: RecordingCommands, state: str, command: tuple[str, ...] | None
) -> None:
    announce_node(redis)
    start_instance(redis, VERSION, state="ready" if state == "draining" else state)
    if state == "draining":
        context.slots.drain("x1")
    sweep(context)
    assert commands.take() == []
    redis.hincrbyfloat("qt:instance:x1", "told_at", -REMIND_SECONDS)
    sweep(context)
    sweep(context)
    assert commands.take() == ([command] if command else [])


def test_one_that_drains_is_not_stopped_while_something_runs_on_it(
    redis: Redis, context: Context, commands: RecordingCommands
) -> None:
    announce_node(redis)
    start_instance(redis, VERSION)
    admit_and_begin(context, "a")
    context.slots.drain("x1")
    redis.hincrbyfloat("qt:instance:x1", "told_at", -REMIND_SECONDS)
    sweep(context)
    assert commands.take() == []


def test_a_step_that_fails_does_not_keep_the_others_from_running(
    redis: Redis, context: Context, commands: RecordingCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broker_is_away(*_: str) -> None:
        raise Unavailable("no broker")

    announce_node(redis)
    start_instance(redis, VERSION)
    admit_and_begin(context, "a")
    rewind(redis, "qt:deadlines", "a", 10_000)
    start_instance(redis, VERSION, "x2", state="starting")
    redis.hincrbyfloat("qt:instance:x2", "told_at", -REMIND_SECONDS)
    monkeypatch.setattr(commands, "cancel", broker_is_away)
    sweep(context)
    assert commands.take() == [("start", "n1", "x2", "v1")]


class TestDueWebhook:
    @pytest.mark.parametrize(("due", "sent"), [(1.0, [("deliver_webhooks",)]), (4e9, [])], ids=["past", "to come"])
    def test_webhooks_are_delivered_when_one_is_due(
        self, redis: Redis, context: Context, commands: RecordingCommands, due: float, sent: list[tuple[str]]
    ) -> None:
        redis.zadd("qt:webhooks", {"ended": due})
        sweep(context)
        assert commands.take() == sent

    def test_nothing_is_sent_where_there_is_none(self, context: Context, commands: RecordingCommands) -> None:
        sweep(context)
        assert commands.take() == []
