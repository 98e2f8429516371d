"""A GGUF file on the whole platform: its engine, thaws that have read the prompt, moves and kills without a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from quickthaw import FunctionSpec
from quickthaw.generation import Sampling
from quickthaw.types import InvocationInfo
from quickthaw_backends.engines.llamacpp_engine import LlamaCppEngine
from tests.acceptance.cluster import Cluster, wait_for
from tests.acceptance.disturbing import kill_the_instance_of, move_again_and_again
from tests.acceptance.test_resume import GREEDY, PROMPT, SAMPLED, said
from tests.process_facts import folder_of

pytestmark = pytest.mark.skipif(LlamaCppEngine.missing() is not None, reason=str(LlamaCppEngine.missing()))

MODEL = "smollm2-gguf"
SYSTEM = "You are a careful assistant of a library. Answer in one short sentence and say when you do not know. " * 6
TURN = {"role": "user", "content": "What is the capital of France?"}
SHORT = Sampling(temperature=0, max_tokens=12)


@pytest.fixture(scope="module")
def cluster(two_nodes: Cluster) -> Cluster:
    """Nodes `a` and `b`, with the functions `chat` (one instance on each) and `primed` (scaled to zero)."""
    pair = {"min_instances": 2, "max_instances": 2, "spread": True}
    two_nodes.client.deploy(FunctionSpec(name="chat", model=MODEL, memory="512MiB", **pair))
    two_nodes.client.deploy(FunctionSpec(name="primed", model=MODEL, memory="512MiB", keep_alive="1s", system=SYSTEM))
    two_nodes.wait_for_one_on_each("chat")
    return two_nodes


def wait_until_thaw_is_primed(cluster: Cluster, function: str) -> None:
    """Wait until a node has read what the function's prompts begin with, and no instance of the function is left."""
    [version] = cluster.client.versions(function)
    wait_for(lambda: any(version.id in node.primed for node in cluster.client.nodes()), "the primed template", 60)
    wait_for(lambda: all(i.function != function for i in cluster.client.instances()), "the scaling to zero")


def ask(cluster: Cluster, messages: list[dict[str, Any]]) -> InvocationInfo:
    return cluster.client.invoke("primed", {"messages": messages}, sampling=SHORT)


def test_a_gguf_is_served_by_llama_cpp_unless_the_function_says_otherwise(cluster: Cluster) -> None:
    assert {f.engine for f in cluster.client.functions()} == {"llamacpp"}
    other = cluster.client.deploy(FunctionSpec(name="dense", model=MODEL, engine="transformers", memory="1GiB"))
    assert other.engine == "transformers"
    cluster.client.delete_function("dense")


def test_an_instance_carries_the_modules_of_its_own_engine_alone(cluster: Cluster) -> None:
    ids = {instance.id for instance in cluster.client.instances() if instance.function == "chat"}
    processes = [one for one in psutil.process_iter(["name"]) if one.info["name"] == "qt-instance"]
    folders = {process: folder_of(process) for process in processes}
    chats = [process for process, folder in folders.items() if folder is not None and folder.parent.name in ids]
    assert len(chats) == 2
    for process in chats:
        mapped = {Path(library.path).name for library in process.memory_maps()}
        assert any("llama" in name for name in mapped)
        assert not any(name.startswith("libtorch") for name in mapped)


@pytest.mark.parametrize("way", ["greedy", "sampled"])
def test_a_stream_that_moves_again_and_again_equals_the_undisturbed_one(cluster: Cluster, way: str) -> None:
    sampling = {**(GREEDY if way == "greedy" else SAMPLED), "max_tokens": 120}
    expected = said(cluster.client.spawn("chat", PROMPT, sampling=sampling))
    call = cluster.client.spawn("chat", PROMPT, sampling=sampling)
    move_again_and_again(cluster, call)
    assert said(call) == expected
    assert cluster.client.life(call.id).moves >= 1


def test_an_instance_that_is_killed_in_mid_answer_loses_no_token(cluster: Cluster) -> None:
    sampling = {**SAMPLED, "max_tokens": 100}
    expected = said(cluster.client.spawn("chat", PROMPT, sampling=sampling))
    call = cluster.client.spawn("chat", PROMPT, sampling=sampling)
    wait_for(lambda: call.status().first_output_at, "the first output", 60)
    kill_the_instance_of(call)
    assert said(call) == expected
    assert call.status().epoch > 1
    cluster.wait_for_one_on_each("chat")


def test_a_thaw_that_has_read_the_system_prompt_computes_only_the_question(cluster: Cluster) -> None:
    first = ask(cluster, [TURN])
    wait_until_thaw_is_primed(cluster, "primed")
    thawed = ask(cluster, [TURN])
    assert thawed.result == first.result
    assert thawed.usage is not None
    assert thawed.usage.prompt_tokens > 120
    assert thawed.usage.cached_tokens > 120
    assert thawed.usage.prompt_tokens - thawed.usage.cached_tokens < 24
    assert "prime" not in thawed.stages


def test_a_thaw_has_read_what_the_models_chat_template_puts_before_a_plain_question(cluster: Cluster) -> None:
    cluster.client.deploy(FunctionSpec(name="plain", model=MODEL, memory="512MiB", keep_alive="1s"))
    first = cluster.client.invoke("plain", {"messages": [TURN]}, sampling=SHORT)
    wait_until_thaw_is_primed(cluster, "plain")
    thawed = cluster.client.invoke("plain", {"messages": [TURN]}, sampling=SHORT)
    assert (thawed.result, thawed.tier) == (first.result, "primed")
    assert thawed.usage is not None
    assert 20 <= thawed.usage.cached_tokens < thawed.usage.prompt_tokens
    cluster.client.delete_function("plain")


def test_the_second_turn_of_a_chat_reads_only_what_is_new(cluster: Cluster) -> None:
    first = ask(cluster, [TURN])
    answer = {"role": "assistant", "content": str(first.result)}
    second = ask(cluster, [TURN, answer, {"role": "user", "content": "And of Italy?"}])
    assert second.usage is not None
    assert second.usage.cached_tokens >= (first.usage.prompt_tokens if first.usage else 0)
