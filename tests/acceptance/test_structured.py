"""Answers with a shape from the real model: killed in the middle of an object and of a call, they end the same."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Annotated, Any, Literal

import httpx
import jsonschema
import pytest
from pydantic import BaseModel, Field

from quickthaw import Delta, EventType, FunctionSpec, Invocation, InvocationState, Message, Tool, loading
from quickthaw_backends.engines.llamacpp_engine import LlamaCppEngine
from tests.acceptance.cluster import ROOT, Cluster, wait_for
from tests.acceptance.test_kills import instances_of
from tests.integration.worker.echo_checkpoint import MODEL

pytestmark = pytest.mark.skipif(LlamaCppEngine.missing() is not None, reason=str(LlamaCppEngine.missing()))

CUTS = (4, 30)
"""After so many tokens, counted from the call's beginning, its instance dies."""

WORKER_CUT = 60
"""After so many the worker dies, and all that it runs."""


Short = Annotated[str, Field(max_length=40)]
Long = Annotated[str, Field(min_length=200, max_length=240)]
"""So long that the model is still at it when a process is killed for what was heard of its answer."""


class Fox(BaseModel):
    name: Short
    mood: Literal["sly", "hungry", "asleep"]
    prey: Annotated[list[Short], Field(max_length=4)]
    age: Annotated[int, Field(ge=0, le=20)]
    story: Long


def tell(animal: Short, place: Short, story: Long, seconds: Annotated[int, Field(ge=1, le=600)] = 60) -> str:
    """Tell a story about an animal."""
    return f"{animal} in {place}, for {seconds} s: {story}"


MESSAGES = [{"role": "user", "content": "Describe a hungry fox who lives in the woods of Ødegård, and what it eats."}]
SAMPLING: dict[str, Any] = {"temperature": 0.7, "seed": 11, "max_tokens": 400, "logprobs": 1}
SHAPES: dict[str, dict[str, Any]] = {
    "object": {"response_format": Fox},
    "call": {"chat": {"tools": [tell], "tool_choice": "required", "parallel_tool_calls": False}},
}


@pytest.fixture(scope="module", autouse=True)
def deployed(cluster: Cluster) -> None:
    """Deploy `shaped`, on the engine whose log-probabilities are the same to the last bit at any cut, and `agent`.

    The agent's model is the echo engine: it makes the call that it is given, and answers with what it is told.
    """
    cluster.client.deploy(FunctionSpec(name="shaped", model="smollm2-gguf", memory="512MiB"))
    (agent,) = loading.functions(ROOT / "functions" / "agent" / "function.py")
    echo = {"engine": "echo", "model": MODEL, "options": {"token_delay": "20ms"}}
    cluster.client.deploy(agent.spec().model_copy(update=echo))


def said(call: Invocation) -> tuple[list[int], list[float | None], dict[str, Any]]:
    """Return tokens, log-probabilities and the message of an answer that has ended."""
    deltas = [Delta.from_json(event.data["delta"]) for event in call.events() if event.type is EventType.CHUNK]
    message = Message()
    for delta in deltas:
        message.add(delta)
    tokens = [token for delta in deltas for token in delta.tokens]
    return tokens, [entry.logprob for delta in deltas for entry in delta.logprobs], message.to_json()


def kill_on_the_way(cluster: Cluster, call: Invocation) -> None:
    tokens, cuts = 0, [*CUTS, WORKER_CUT]
    for event in call.events():
        tokens += len(event.data["delta"]["tokens"]) if event.type is EventType.CHUNK else 0
        if not cuts or tokens < cuts[0]:
            continue
        if cuts.pop(0) == WORKER_CUT:
            cluster.kill("worker")
            cluster.start("worker")
        else:
            kill_its_instance(cluster, call)


def kill_its_instance(cluster: Cluster, call: Invocation) -> None:
    epoch = call.status().epoch
    for process in instances_of(cluster, "shaped"):
        process.kill()
    wait_for(lambda: call.status().epoch > epoch, "the loss of its instance")


@pytest.mark.parametrize("shape", SHAPES)
def test_killed_in_the_middle_it_ends_as_the_undisturbed_one(cluster: Cluster, shape: str) -> None:
    options: dict[str, Any] = {"sampling": SAMPLING, **SHAPES[shape]}
    undisturbed = cluster.client.spawn("shaped", {"messages": MESSAGES}, **options)
    expected = said(undisturbed)
    assert len(expected[0]) > WORKER_CUT
    call = cluster.client.spawn("shaped", {"messages": MESSAGES}, **options)
    kill_on_the_way(cluster, call)
    assert (call.status().state, call.status().error) == (InvocationState.SUCCEEDED, None)
    assert said(call) == expected
    assert call.result() == undisturbed.result()
    assert call.status().epoch > len(CUTS)


def test_an_object_and_a_call_are_valid_whatever_the_model_thinks_of_them(cluster: Cluster) -> None:
    for seed in range(4):
        found: defaultdict[str, Any] = defaultdict(dict)
        for shape, options in SHAPES.items():
            sampling = {"temperature": 1.0, "seed": seed, "max_tokens": 400}
            found[shape] = cluster.client.invoke("shaped", {"messages": MESSAGES}, sampling=sampling, **options).result
        Fox.model_validate_json(found["object"])
        (made,) = found["call"]["tool_calls"]
        jsonschema.validate(json.loads(made["function"]["arguments"]), dict(Tool.of(tell).parameters))


CALL = '<tool_call>\n{"name": "calculate", "arguments": {"expression": "6 * 7"}}\n</tool_call>'
ANSWER = "<tool_response>\n42\n</tool_response>"
GIVEN = {"messages": [{"role": "user", "content": CALL}], "show_calls": True}


def test_an_agent_that_is_killed_in_a_call_and_in_its_answer_goes_on(cluster: Cluster) -> None:
    undisturbed = cluster.client.spawn("agent", GIVEN, sampling={"seed": 5})
    expected = said(undisturbed)
    assert expected[2]["content"] == ANSWER
    assert [made["function"]["arguments"] for made in expected[2]["tool_calls"]] == ['{"expression": "6 * 7"}']
    call = cluster.client.spawn("agent", GIVEN, sampling={"seed": 5})
    cuts = [len(CALL) // 2, len(CALL) - 15, len(CALL) + 10]
    outputs = 0
    for event in call.events():
        outputs += event.type is EventType.CHUNK
        if event.type is EventType.CHUNK and outputs in cuts:
            for process in instances_of(cluster, "agent"):
                process.kill()
    assert said(call) == expected
    assert call.status().usage == undisturbed.status().usage
    assert call.status().epoch == 1 + len(cuts)


def test_an_agents_calls_are_its_own_affair_in_the_openai_api(cluster: Cluster) -> None:
    body = {"model": "agent", "messages": GIVEN["messages"]}
    headers = {"Authorization": f"Bearer {cluster.api_key}"}
    answer = httpx.post(f"{cluster.url}/v1/chat/completions", json=body, headers=headers, timeout=60).json()
    (choice,) = answer["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (ANSWER, "stop")
    assert not choice["message"].get("tool_calls")
