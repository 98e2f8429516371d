"""Running streams move between two nodes: by command, in a storm, by drain; each equals the undisturbed one."""

from __future__ import annotations

import itertools
import signal
from typing import Any

import pytest

from quickthaw import EventType, FunctionSpec, Invocation
from quickthaw.errors import Conflict, NodeNotFound
from quickthaw_platform.invocations.store import NOT_OFFERED
from tests.acceptance.cluster import Cluster, wait_for
from tests.acceptance.test_resume import DURABLE, GREEDY, PROMPT, SAMPLED, chunks, handler, said
from tests.integration.worker.echo_checkpoint import MODEL
from tests.patience import PATIENCE_SECONDS

LENGTHS = (80, 160, 320)
"""Tokens of a stream that is to move several times: a longer one where the machine was too busy for that."""

TEXT = " ".join(f"word{i}" for i in range(60))
"""Said in eight seconds: time enough for an instance to start on the other node."""


@pytest.fixture(scope="module")
def cluster(two_nodes: Cluster) -> Cluster:
    """Nodes `a` and `b`, with the functions `slow` (echo, 50 tokens a second), `durable` and `chat` (SmolLM2)."""
    client = two_nodes.client
    shape: dict[str, Any] = {"model": MODEL, "engine": "echo", "memory": "16MiB", "options": {"token_delay": "20ms"}}
    client.deploy(FunctionSpec(name="slow", **shape, concurrency=64))
    client.deploy(FunctionSpec(name="fixed", **shape, resumable=False))
    client.deploy(FunctionSpec(name="durable", **shape, **handler(DURABLE)))
    pair = {"min_instances": 2, "max_instances": 2, "spread": True}  # one on each node
    client.deploy(FunctionSpec(name="chat", model="smollm2-135m-instruct", memory="512MiB", **pair))
    two_nodes.wait_for_one_on_each("chat")
    return two_nodes


def node_of(call: Invocation) -> str:
    return str(call.status().node)


def begun(cluster: Cluster, function: str, given: dict[str, Any], **options: Any) -> Invocation:
    """Return a call that has put something out."""
    call = cluster.client.spawn(function, given, **options)
    wait_for(lambda: call.status().first_output_at, "the first output", 60)
    return call


def assert_logged_once(call: Invocation) -> None:
    seqs = [event.seq for event in call.events()]
    assert seqs == list(range(1, len(seqs) + 1))


def test_a_stream_moves_to_the_node_that_was_named(cluster: Cluster) -> None:
    call = begun(cluster, "slow", {"prompt": TEXT})
    source = node_of(call)
    other = "b" if source == "a" else "a"
    cluster.client.migrate(call.id, other)
    wait_for(lambda: node_of(call) == other, "the move")
    assert call.result(timeout=PATIENCE_SECONDS) == TEXT
    assert_logged_once(call)
    life = cluster.client.life(call.id)
    assert (life.moves, life.invocation.epoch) == (1, 2)
    assert [step.moved_from for step in life.steps if step.moved_from] == [source]
    assert life.gaps[2] < 1


def asked_to_move(cluster: Cluster, call: Invocation) -> str:
    """Ask for a move; return what was answered, '' where nothing forbade it."""
    try:
        cluster.client.migrate(call.id)
    except Conflict as error:
        return error.message
    return ""


def moved_again_and_again(cluster: Cluster, sampling: dict[str, Any]) -> Invocation:
    """Return a call that was asked to move whenever it had put something out, while it was not moving or had moved."""
    call = cluster.client.spawn("chat", PROMPT, sampling=sampling)
    for event in call.events():
        if event.type is EventType.CHUNK:
            refusal = asked_to_move(cluster, call)
            busy = any(NOT_OFFERED[why] in refusal for why in ("moving", "there"))
            assert not refusal or busy or call.status().state.ended, refusal
    return call


@pytest.mark.parametrize("way", ["greedy", "sampled"])
def test_a_stream_that_moves_again_and_again_equals_the_undisturbed_one(cluster: Cluster, way: str) -> None:
    for tokens in LENGTHS:
        sampling = {**(GREEDY if way == "greedy" else SAMPLED), "max_tokens": tokens}
        expected = said(cluster.client.spawn("chat", PROMPT, sampling=sampling))
        call = moved_again_and_again(cluster, sampling)
        assert said(call) == expected
        assert_logged_once(call)
        life = cluster.client.life(call.id)
        if life.moves >= 2:
            return
    raise AssertionError(f"the longest one moved {life.moves} times")


def test_a_handler_moves_with_its_stream(cluster: Cluster) -> None:
    expected = chunks(cluster.client.spawn("durable", {}))
    call = begun(cluster, "durable", {})
    cluster.client.migrate(call.id)
    assert chunks(call) == expected
    assert cluster.client.life(call.id).moves == 1


def test_a_handler_that_computes_nothing_moves_too(cluster: Cluster) -> None:
    shape: dict[str, Any] = {"model": MODEL, "engine": "echo", "memory": "16MiB"}
    cluster.client.deploy(FunctionSpec(name="sleeps", **shape, **handler("yield 'half'\ntime.sleep(8)\nyield 'whole'")))
    call = begun(cluster, "sleeps", {})
    source = node_of(call)
    cluster.client.migrate(call.id)
    wait_for(lambda: node_of(call) != source, "the move")
    assert not call.status().state.ended
    assert [chunk["value"] for chunk in chunks(call)] == ["half", "whole"]


def test_a_storm_moves_all_that_a_node_runs(cluster: Cluster) -> None:
    calls = [cluster.client.spawn("slow", {"prompt": f"{TEXT} {number}"}) for number in range(40)]
    wait_for(lambda: all(call.status().first_output_at for call in calls), "the first outputs")
    for call in calls:
        cluster.client.migrate(call.id)
    for number, call in enumerate(calls):
        assert call.result(timeout=PATIENCE_SECONDS) == f"{TEXT} {number}"
        assert_logged_once(call)
    assert sum(cluster.client.life(call.id).moves for call in calls) >= 35
    wait_for(lambda: not cluster.redis.keys("qt:instance.leases:*"), "the end of all leases")
    assert not cluster.redis.exists("qt:moves")


def test_what_cannot_move_says_why_and_stays(cluster: Cluster) -> None:
    text = TEXT[:150]  # three seconds
    call = begun(cluster, "fixed", {"prompt": text})
    with pytest.raises(Conflict, match="resumable"):
        cluster.client.migrate(call.id)
    with pytest.raises(Conflict, match="runs on node"):
        cluster.client.migrate(call.id, node_of(call))
    with pytest.raises(NodeNotFound):
        cluster.client.migrate(call.id, "c")
    assert call.result(timeout=PATIENCE_SECONDS) == text
    with pytest.raises(Conflict, match="succeeded"):
        cluster.client.migrate(call.id)
    assert cluster.client.life(call.id).moves == 0


@pytest.mark.parametrize("side", ["source", "destination"])
def test_whichever_side_dies_in_the_middle_the_stream_goes_on(cluster: Cluster, side: str) -> None:
    call = begun(cluster, "slow", {"prompt": TEXT})
    source = node_of(call)
    other = "b" if source == "a" else "a"
    cluster.client.migrate(call.id, other)
    name = source if side == "source" else other
    cluster.kill(name)
    cluster.start(name)
    assert call.result(timeout=PATIENCE_SECONDS) == TEXT
    assert_logged_once(call)
    cluster.wait_for_return()
    wait_for(lambda: not cluster.redis.keys("qt:instance.leases:*"), "the end of all leases")


def test_a_rolling_restart_moves_what_runs_and_loses_nothing(cluster: Cluster) -> None:
    text = " ".join(f"word{i}" for i in range(200))  # half a minute
    calls = [cluster.client.spawn("slow", {"prompt": f"{text} {number}"}) for number in range(10)]
    wait_for(lambda: all(call.status().first_output_at for call in calls), "the first outputs")
    for name in ("a", "b"):
        cluster.processes[name].send_signal(signal.SIGTERM)
        assert cluster.processes[name].wait(PATIENCE_SECONDS) == 0
        cluster.start(name)
        cluster.wait_for_return()
    for number, call in enumerate(calls):
        assert call.result(timeout=PATIENCE_SECONDS) == f"{text} {number}"
        assert_logged_once(call)
    gaps = list(itertools.chain.from_iterable(cluster.client.life(call.id).gaps.values() for call in calls))
    assert len(gaps) >= len(calls)
    assert not any(step.reason for call in calls for step in cluster.client.life(call.id).steps[1:])
    assert max(gaps) < 2


@pytest.mark.spends_platform
def test_a_drained_node_takes_nothing_and_gives_what_runs_away(cluster: Cluster) -> None:
    call = begun(cluster, "slow", {"prompt": TEXT})
    source = node_of(call)
    cluster.client.drain_node(source)
    wait_for(lambda: node_of(call) != source, "the move")
    assert call.result(timeout=PATIENCE_SECONDS) == TEXT
    assert node_of(begun(cluster, "slow", {"prompt": "new"})) != source
