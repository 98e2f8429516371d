"""Streams of the real model, killed after every token: each equals the undisturbed one, token for token."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quickthaw import EventType, FunctionSpec, Invocation, InvocationInfo, InvocationState
from quickthaw.errors import HandlerDiverged, InstanceLost, PoisonInvocation
from tests.acceptance.cluster import Cluster, wait_for
from tests.acceptance.test_kills import instances_of, processes
from tests.integration.worker.echo_checkpoint import MODEL
from tests.patience import PATIENCE_SECONDS

LAST_CUT = 40
PROMPT = {"messages": [{"role": "user", "content": "Tell me a story about a fox and a hen, with — dashes, é and 🙂."}]}
GREEDY = {"temperature": 0, "max_tokens": LAST_CUT + 8, "seed": 7}
SAMPLED = {"temperature": 1.0, "top_p": 0.95, "max_tokens": LAST_CUT + 8, "stop": ["never said"], "n": 2, "seed": 7}


def chunks(call: Invocation) -> list[dict[str, Any]]:
    """Return all that the call puts out, when it has ended."""
    return [event.data for event in call.events() if event.type is EventType.CHUNK]


def said(call: Invocation) -> dict[int, tuple[list[int], str]]:
    """Return the tokens and the text of each choice."""
    found: dict[int, tuple[list[int], str]] = {}
    for chunk in chunks(call):
        delta = chunk["delta"]
        tokens, text = found.get(delta.get("choice", 0), ([], ""))
        found[delta.get("choice", 0)] = (tokens + delta["tokens"], text + delta["text"])
    return found


def counted(call: InvocationInfo) -> tuple[int, int]:
    """Return the tokens of prompt and answer: how many of them were cached depends on who served it."""
    assert call.usage is not None
    return call.usage.prompt_tokens, call.usage.completion_tokens


def below(pid: int) -> Iterator[int]:
    """Yield the children of a process, and theirs, by the kernel's own lists: sooner than the next token comes."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            yield child
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                yield from below(child)


def kill_after_each_token(cluster: Cluster, call: Invocation) -> int:
    """Kill the call's instance before its first token, and in each life after its first new one; returns the kills.

    Nothing else runs: all instances are killed.
    """
    zygotes = [process.pid for process in processes(cluster, "zygote")]
    kills = outputs = 0
    armed = True
    for event in call.events():
        if event.type is EventType.CHUNK:
            outputs += 1
        elif event.data.get("state") == "running":
            armed = True
        if armed and (event.type is EventType.CHUNK or kills == 0) and outputs <= LAST_CUT:
            armed = False
            for pid in [found for zygote in zygotes for found in below(zygote)]:
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    if Path(f"/proc/{pid}/comm").read_text().strip() == "qt-instance":
                        os.kill(pid, signal.SIGKILL)
                        kills += 1
    return kills


@pytest.mark.parametrize("way", ["greedy", "sampled"])
def test_a_stream_that_is_cut_after_every_token_equals_the_undisturbed_one(cluster: Cluster, way: str) -> None:
    sampling = GREEDY if way == "greedy" else SAMPLED
    undisturbed = cluster.client.spawn("chat", PROMPT, sampling=sampling)
    expected = said(undisturbed)
    call = cluster.client.spawn("chat", PROMPT, sampling=sampling)
    kills = kill_after_each_token(cluster, call)
    ended, before = call.status(), undisturbed.status()
    assert (ended.state, ended.error) == (InvocationState.SUCCEEDED, None)
    assert said(call) == expected
    assert (ended.result, counted(ended)) == (before.result, counted(before))
    assert [event.seq for event in call.events()] == list(range(1, len(list(call.events())) + 1))
    assert kills > LAST_CUT / 4  # guessed tokens come together, and a busy machine shows several of a life at once
    assert ended.epoch > kills / 2
    assert not cluster.redis.keys("qt:instance.leases:*")


def handler(body: str) -> dict[str, Any]:
    """Return the fields of a function whose handler has this body."""
    lines = "\n    ".join(body.strip().splitlines())
    source = {"function.py": f"import os, random, time\n\n\ndef handle(model):\n    {lines}\n"}
    return {"source": source, "handler": {"file": "function.py", "object": "handle"}}


def deploy(cluster: Cluster, name: str, body: str, **fields: Any) -> None:
    spec = {"engine": "echo", "model": MODEL, "options": {"token_delay": "30ms"}, **handler(body), **fields}
    cluster.client.deploy(FunctionSpec(name=name, **spec))


def kill_when(cluster: Cluster, function: str, call: Invocation, output: str) -> None:
    """Kill the call's instance when it has put out `output`."""

    for event in call.events():
        if event.type is EventType.CHUNK and event.data.get("value") == output:
            break
    for process in instances_of(cluster, function):
        process.kill()


DURABLE = """
first = "".join(str(delta) for delta in model.complete("the plan is secret"))
yield f"plan: {first}"
kept = [str(delta) for delta in model.complete("and the answer is long")]
yield "half"
time.sleep(0.3)
for delta in model.complete("so far so good"):
    yield delta
yield {"kept": "".join(kept)}
"""


def test_a_handler_is_run_again_with_what_its_model_said(cluster: Cluster) -> None:
    deploy(cluster, "durable", DURABLE)
    undisturbed = cluster.client.spawn("durable", {})
    expected = chunks(undisturbed)
    call = cluster.client.spawn("durable", {})
    kill_when(cluster, "durable", call, "half")
    assert chunks(call) == expected
    assert call.status().epoch == 2
    assert call.status().usage == undisturbed.status().usage
    assert call.result() == undisturbed.result()


def test_a_handler_that_does_something_else_the_second_time_fails_with_the_reason(cluster: Cluster) -> None:
    deploy(cluster, "moody", "yield f'{random.random()}'\nyield 'half'\ntime.sleep(5)")
    call = cluster.client.spawn("moody", {})
    kill_when(cluster, "moody", call, "half")
    with pytest.raises(HandlerDiverged, match="output 1"):
        call.result(timeout=PATIENCE_SECONDS)
    assert [chunk["value"] for chunk in chunks(call)][1:] == ["half"]


def test_a_function_may_opt_out(cluster: Cluster) -> None:
    deploy(cluster, "once", "yield 'half'\ntime.sleep(5)", resumable=False)
    call = cluster.client.spawn("once", {})
    kill_when(cluster, "once", call, "half")
    with pytest.raises(InstanceLost):
        call.result(timeout=PATIENCE_SECONDS)


def test_an_invocation_that_kills_its_process_is_not_given_a_third(cluster: Cluster) -> None:
    # Until all has left: what a process took with it comes in the next try, and counts as something new.
    deploy(cluster, "poison", "yield from model.complete('poison')\ntime.sleep(1)\nos._exit(7)")
    call = cluster.client.spawn("poison", {})
    with pytest.raises(PoisonInvocation, match="exited with status 7"):
        call.result(timeout=PATIENCE_SECONDS)
    assert (call.status().attempts, call.status().epoch) == (2, 2)
    assert "".join(chunk["delta"]["text"] for chunk in chunks(call)) == "poison"


def test_a_node_that_sleeps_through_its_own_death_is_refused_when_it_wakes(cluster: Cluster) -> None:
    text = " ".join(f"word{i}" for i in range(20))
    cluster.client.invoke("slow", {"prompt": "thaw"})
    call = cluster.client.spawn("slow", {"prompt": text})
    wait_for(lambda: call.status().first_output_at, "the first token")
    worker = cluster.processes["worker"]
    worker.send_signal(signal.SIGSTOP)
    try:
        wait_for(lambda: call.status().state is InvocationState.QUEUED, "the loss")
    finally:
        worker.send_signal(signal.SIGCONT)
    assert call.result(timeout=PATIENCE_SECONDS) == text
    log = list(call.events())
    assert [event.seq for event in log] == list(range(1, len(log) + 1))
    assert call.status().epoch == 2
