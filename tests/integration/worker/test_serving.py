"""What a worker does with functions that behave."""

from __future__ import annotations

import json
import time

import pytest

from quickthaw.errors import NodeLost
from quickthaw.types import InvocationState
from quickthaw_platform.invocations.records import Lost
from tests.integration.worker.node_process import NodeProcess
from tests.integration.worker.worker_process import wait_for


def test_a_cold_call_waits_for_its_instance_and_tells_the_stages_it_paid(node: NodeProcess) -> None:
    version = node.deploy("cold")
    began = time.monotonic()
    info = node.call(version)
    seconds = time.monotonic() - began
    assert info.state == InvocationState.SUCCEEDED, info.error
    assert info.result == "hello"
    assert {"queue", "fork", "tokenizer", "skeleton", "weights", "handler", "prefill"} <= set(info.stages)
    assert sum(info.stages.values()) < seconds


def test_a_warm_call_pays_no_stages_and_counts_its_tokens(node: NodeProcess) -> None:
    version = node.deploy("warm")
    node.ready(version)
    info = node.call(version)
    assert (info.result, info.stages) == ("hello", {})
    assert info.usage is not None
    assert (info.usage.prompt_tokens, info.usage.completion_tokens) == (5, 6)  # five bytes and the end


def test_an_instance_without_work_proves_itself_by_a_token_before_it_is_ready(node: NodeProcess) -> None:
    version = node.deploy("prewarmed")
    instance = node.ready(version)
    assert node.store.claim(instance) == []
    wait_for(lambda: any("instance ready" in line["line"] for line in node.logs("prewarmed")), "the log line")


def test_chunks_arrive_one_by_one_and_in_order(node: NodeProcess) -> None:
    version = node.deploy("stream", options={"token_delay": "5ms"})
    identity = node.invoke(version, {"prompt": "abcdef"})
    wait_for(lambda: len(node.chunks(identity)) >= 2, "the first chunks")
    info = node.ended(identity)
    assert "".join(chunk["delta"]["text"] for chunk in node.chunks(identity)) == "abcdef" == info.result
    assert [event.seq for event in node.events(identity)] == list(range(1, len(node.events(identity)) + 1))


def test_more_calls_than_slots_are_all_served_first_come_first_served(node: NodeProcess) -> None:
    version = node.deploy("queue", concurrency=2, options={"token_delay": "2ms"})
    identities = [node.invoke(version, {"prompt": f"call {number}"}) for number in range(12)]
    ended = [node.ended(identity) for identity in identities]
    assert [info.result for info in ended] == [f"call {number}" for number in range(12)]
    starts = [info.started_at for info in ended]
    assert starts == sorted(starts, key=lambda at: at or 0)


def test_a_handler_sees_its_input_the_model_and_its_environment_but_nothing_of_the_platform(node: NodeProcess) -> None:
    source = """
import os, sys

def handle(model, name: str):
    return {"name": name, "tokens": model.count_tokens("four"), "env": dict(os.environ), "cwd": os.getcwd(),
            "mine": open("/proc/self/environ").read(), "stdin": sys.stdin.read()}
"""
    version = node.deploy("environment", source, env={"MODE": "test"})
    node.registry.set_secret("environment", "TOKEN", "s3cret")
    info = node.call(version, {"name": "x"})
    result = info.result
    assert (result["name"], result["tokens"], result["stdin"]) == ("x", 4, "")
    assert set(result["env"]) <= {"PATH", "LANG", "HOME", "TMPDIR", "MODE", "TOKEN", "LC_CTYPE"}
    assert (result["env"]["MODE"], result["env"]["TOKEN"]) == ("test", "s3cret")
    assert result["env"]["HOME"] == result["cwd"]
    assert "QUICKTHAW" not in result["mine"]


def test_the_result_of_a_generator_is_its_text_or_the_list_of_its_values(node: NodeProcess) -> None:
    text = node.deploy(
        "joined", "def handle(model, prompt):\n    yield 'so: '\n    yield from model.complete(prompt)\n"
    )
    assert node.call(text, {"prompt": "abc"}).result == "so: abc"
    values = node.deploy("values", "def handle(model):\n    yield 1\n    yield {'a': (2, 3)}\n")
    assert node.call(values, {}).result == [1, {"a": [2, 3]}]


def test_prints_become_log_lines_that_know_their_invocation(node: NodeProcess) -> None:
    source = """
import os, sys

def handle(model, word):
    print("out", word)
    print("err", word, file=sys.stderr)
    os.write(1, b"raw\\n")
    return None
"""
    version = node.deploy("printing", source)
    identity = node.invoke(version, {"word": "w"})
    node.ended(identity)
    wait_for(lambda: len([r for r in node.logs("printing") if r["stream"] != "platform"]) >= 3, "the log lines")
    lines = {row["line"]: row for row in node.logs("printing")}
    assert (lines["out w"]["stream"], lines["err w"]["stream"]) == ("stdout", "stderr")
    assert lines["out w"]["invocation"] == lines["err w"]["invocation"] == identity
    assert "raw" in lines


def test_a_cancelled_call_stops_generating_and_its_slot_serves_the_next(node: NodeProcess) -> None:
    version = node.deploy("cancelled", concurrency=1, options={"token_delay": "50ms"})
    node.ready(version)
    first = node.invoke(version, {"prompt": "x" * 500})  # as many outputs
    second = node.invoke(version, {"prompt": "y"})
    wait_for(lambda: node.chunks(first), "the first output")
    stopped = node.store.cancel(first, "nobody listens")
    assert stopped.node is not None
    node.commands.cancel(stopped.node, first)
    assert node.ended(second).result == "y"
    assert node.ended(first).state == InvocationState.CANCELLED
    assert len(node.chunks(first)) < 500


def test_a_cancel_for_an_earlier_owner_that_comes_late_leaves_the_new_one_alone(node: NodeProcess) -> None:
    """A stream that left this node and came back would hang for ever: its owner would not serve it any more."""
    version = node.deploy("returned", options={"token_delay": "10ms"})
    instance = node.ready(version)
    identity = node.invoke(version, {"prompt": "x" * 80})
    wait_for(lambda: node.chunks(identity), "the first output")
    (lease,) = node.slots.leases(instance)
    node.commands.cancel(node.settings.node, identity, before_epoch=lease.epoch)
    assert node.ended(identity).result == "x" * 80


@pytest.mark.parametrize("told", [False, True], ids=["not told", "told to stop"])
def test_a_call_that_comes_back_to_the_instance_which_still_runs_it_is_served_anew(
    node: NodeProcess, told: bool
) -> None:
    """The end of the run that was given up is not the end of the new one, and its output is not the new one's."""
    name = "back-told" if told else "back"
    version = node.deploy(name, "import time\ndef handle(model):\n    yield 0\n    time.sleep(1)\n    yield 1\n")
    instance = node.ready(version)
    identity = node.invoke(version, {})
    wait_for(lambda: node.chunks(identity), "the first output")
    (lease,) = node.slots.leases(instance)
    assert node.store.lose(identity, lease.epoch, "taken for dead", NodeLost("taken for dead")) is Lost.REQUEUED
    if told:
        node.commands.cancel(node.settings.node, identity, before_epoch=lease.epoch + 1)
    (again,) = node.store.claim(instance)
    assert again.epoch == lease.epoch + 1
    ended = node.ended(identity)
    assert (ended.state, ended.result, ended.error) == (InvocationState.SUCCEEDED, [0, 1], None)
    assert [chunk["value"] for chunk in node.chunks(identity)] == [0, 1]


def test_a_command_that_comes_twice_changes_nothing(node: NodeProcess) -> None:
    version = node.deploy("twice", options={"token_delay": "5ms"})
    instance = node.ready(version)
    node.commands.start(node.settings.node, instance, version.id)
    identity = node.invoke(version, {"prompt": "abc"})
    lease = wait_for(lambda: node.slots.leases(instance), "the lease")[0]
    for _ in range(3):
        node.redis.rpush(f"qt:node.calls:{node.settings.node}", json.dumps([identity, str(lease.epoch), instance]))
    assert node.ended(identity).result == "abc"
    assert len(node.slots.instances(version=version.id)) == 1


def test_a_stopped_instance_ends_and_is_forgotten(node: NodeProcess) -> None:
    version = node.deploy("stopped")
    instance = node.ready(version)
    node.commands.stop(node.settings.node, instance)
    wait_for(lambda: node.state(instance) is None, "the end of the instance")
    folder = node.settings.data_dir / "instances" / node.settings.node / instance
    wait_for(lambda: not folder.exists(), "the end of its folder")
