"""vLLM on the whole platform, where it is installed: thaws, streams, moves and kills, in float32, which is exact."""

from __future__ import annotations

import pytest
from openai import OpenAI

from quickthaw import FunctionSpec, InvocationState
from quickthaw_backends.engines.vllm_engine import VllmEngine
from tests.acceptance.cluster import Cluster, wait_for
from tests.acceptance.disturbing import kill_the_instance_of, move_again_and_again
from tests.acceptance.test_resume import GREEDY, PROMPT, SAMPLED, said

pytestmark = [
    pytest.mark.skipif(VllmEngine.missing() is not None, reason=str(VllmEngine.missing())),
    pytest.mark.timeout(600),
]

VLLM = {"model": "smollm2-135m-instruct", "engine": "vllm", "memory": "2GiB", "options": {"dtype": "float32"}}
QUESTION = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}
SECONDS = 120.0


@pytest.fixture(scope="module")
def cluster(two_nodes: Cluster) -> Cluster:
    """Nodes `a` and `b` with the function `chat`, one instance on each."""
    pair = {"min_instances": 2, "max_instances": 2, "spread": True}
    two_nodes.client.deploy(FunctionSpec(name="chat", **VLLM, **pair))
    two_nodes.wait_for_one_on_each("chat")
    return two_nodes


def test_a_function_that_nobody_calls_sleeps_and_a_call_wakes_it(cluster: Cluster) -> None:
    cluster.client.deploy(FunctionSpec(name="rare", **VLLM, keep_alive="1s"))
    tiers = []
    for _ in range(2):
        answered = cluster.client.invoke("rare", QUESTION, sampling={"temperature": 0, "max_tokens": 16})
        assert "Paris" in str(answered.result)
        tiers.append(answered.tier)
        wait_for(lambda: all(i.function != "rare" for i in cluster.client.instances()), "scaling to zero", SECONDS)
    assert tiers[0] not in (None, "asleep")
    assert tiers[1] == "asleep"
    cluster.client.delete_function("rare")


def test_openais_client_streams_from_it_and_gets_answers_of_a_shape(cluster: Cluster, openai: OpenAI) -> None:
    asked = {"model": "chat", "messages": QUESTION["messages"], "temperature": 0}
    pieces = openai.chat.completions.create(**asked, max_tokens=16, stream=True, logprobs=True)  # type: ignore[call-overload]
    spoken = [choice for piece in pieces for choice in piece.choices if choice.delta.content]
    assert "Paris" in "".join(choice.delta.content for choice in spoken)
    assert all(logprob.logprob <= 0 for choice in spoken for logprob in choice.logprobs.content)
    schema = {"type": "object", "properties": {"city": {"enum": ["Rome", "Paris"]}}, "required": ["city"]}
    shape = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}
    answer = openai.chat.completions.create(**asked, max_tokens=64, response_format=shape)  # type: ignore[call-overload]
    assert answer.choices[0].message.content in ('{"city": "Rome"}', '{"city": "Paris"}')


@pytest.mark.parametrize("way", ["greedy", "sampled"])
def test_a_stream_that_moves_again_and_again_equals_the_undisturbed_one(cluster: Cluster, way: str) -> None:
    sampling = {**(GREEDY if way == "greedy" else SAMPLED), "max_tokens": 120}
    expected = said(cluster.client.spawn("chat", PROMPT, sampling=sampling))
    call = cluster.client.spawn("chat", PROMPT, sampling=sampling)
    move_again_and_again(cluster, call)
    assert said(call) == expected
    assert cluster.client.life(call.id).moves >= 1


@pytest.mark.parametrize("way", ["greedy", "sampled"])
def test_an_instance_that_is_killed_in_mid_answer_loses_no_token(cluster: Cluster, way: str) -> None:
    sampling = {**(GREEDY if way == "greedy" else SAMPLED), "max_tokens": 100}
    expected = said(cluster.client.spawn("chat", PROMPT, sampling=sampling))
    call = cluster.client.spawn("chat", PROMPT, sampling=sampling)
    wait_for(lambda: call.status().first_output_at, "the first output", SECONDS)
    kill_the_instance_of(call)
    assert said(call) == expected
    assert call.status().epoch > 1
    cluster.wait_for_one_on_each("chat")


def test_a_cancelled_call_leaves_its_slot_to_others(cluster: Cluster) -> None:
    call = cluster.client.spawn("chat", PROMPT, sampling={**SAMPLED, "max_tokens": 1000})
    wait_for(lambda: call.status().first_output_at, "the first output", SECONDS)
    call.cancel()
    assert call.status().state is InvocationState.CANCELLED
    assert "Paris" in str(cluster.client.invoke("chat", QUESTION, sampling=GREEDY).result)
