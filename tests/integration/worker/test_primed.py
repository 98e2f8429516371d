"""Primed templates on a real worker: what makes them, what they spare, and what takes them away."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from quickthaw.types import InvocationInfo, Version
from quickthaw_platform.checkpoints.remote.directory import DirectoryStore
from tests.integration.worker.conftest import MakeNode
from tests.integration.worker.node_process import NodeProcess
from tests.integration.worker.worker_process import NODE, wait_for

SYSTEM = "You are kind."
PRIMED_TOKENS = len(SYSTEM) + 3  # a mark before it, one behind it, and that of the user's message
QUESTION = {"messages": [{"role": "user", "content": "hi"}]}


def primed_versions(node: NodeProcess) -> list[str]:
    return list(json.loads(node.redis.hget(f"qt:node:{NODE}", "primed") or "[]"))


def wait_until_primed(node: NodeProcess, version: Version) -> None:
    wait_for(lambda: version.id in primed_versions(node), f"{version.function} being primed")


def cold_call(node: NodeProcess, version: Version, request: dict[str, Any] = QUESTION) -> InvocationInfo:
    """Call a version when it has no instance; none is left afterwards."""
    info = node.call(version, request)
    for view in node.slots.instances(version=version.id):
        wait_for(lambda view=view: node.state(view.id) in ("ready", None), "the end of the start")  # type: ignore[misc]
        node.commands.stop(NODE, view.id)
    wait_for(lambda: not node.slots.instances(version=version.id), "the end of the instance")
    return info


def cached(info: InvocationInfo) -> int:
    assert info.usage is not None
    return info.usage.cached_tokens


def primed_pids(node: NodeProcess) -> list[int]:
    return node.pids().get("qt-primed", [])


def test_the_second_start_finds_the_beginning_read(node: NodeProcess) -> None:
    version = node.deploy("greets", system=SYSTEM)
    first = cold_call(node, version)
    assert (first.result, cached(first)) == ("hi", 0)
    assert first.tier != "primed"
    wait_until_primed(node, version)
    second = cold_call(node, version)
    assert (second.result, second.tier, cached(second)) == ("hi", "primed", PRIMED_TOKENS)
    assert {"template", "tokenizer", "weights", "prime"}.isdisjoint(second.stages)
    assert {"queue", "fork", "engine", "handler", "prefill"} <= set(second.stages)


def test_a_text_that_completions_begin_with_is_read_too(node: NodeProcess) -> None:
    version = node.deploy("continues", prefix="Once upon a time")
    cold_call(node, version, {"prompt": "Once upon a time, x"})
    wait_until_primed(node, version)
    info = cold_call(node, version, {"prompt": "Once upon a day"})
    assert (info.tier, cached(info), info.result) == ("primed", len("Once upon a "), "Once upon a day")


def test_a_system_message_of_the_calls_own_takes_the_place_of_the_functions(node: NodeProcess) -> None:
    version = node.deploy("own-system", system=SYSTEM)
    own = {"messages": [{"role": "system", "content": "Yes."}, *QUESTION["messages"]]}
    plain, changed = node.call(version, QUESTION).usage, node.call(version, own).usage
    assert plain is not None
    assert changed is not None
    assert plain.prompt_tokens - changed.prompt_tokens == len(SYSTEM) - len("Yes.")


def test_what_the_calls_of_a_function_begin_with_is_learnt_though_each_has_an_instance_of_its_own(
    node: NodeProcess,
) -> None:
    version, shared = node.deploy("learns"), "Translate the following text into French: "
    for number in range(8):
        cold_call(node, version, {"prompt": f"{shared}{number}"})
    wait_until_primed(node, version)
    info = cold_call(node, version, {"prompt": f"{shared}x"})
    assert (info.tier, cached(info), info.result) == ("primed", len(shared), f"{shared}x")
    files = node.settings.data_dir / "prefixes" / version.checkpoint
    wait_for(lambda: not list(files.glob(f"{NODE}-*")), "the end of its file")
    node.registry.delete("learns")
    wait_for(lambda: version.id not in primed_versions(node), "its end")


def test_a_version_of_which_no_beginning_is_known_is_not_primed_with_that_of_another(node: NodeProcess) -> None:
    plain, other = node.deploy("plain"), node.deploy("other", system="You are not.")
    cold_call(node, plain)
    cold_call(node, other)
    wait_until_primed(node, other)
    assert plain.id not in primed_versions(node)
    assert cold_call(node, plain).tier != "primed"


def test_versions_that_begin_alike_share_one_process(node: NodeProcess) -> None:
    first, second = (node.deploy(name, system="You are two.") for name in ("twin-a", "twin-b"))
    cold_call(node, first)
    wait_until_primed(node, first)
    before = primed_pids(node)
    cold_call(node, second)
    wait_until_primed(node, second)
    assert primed_pids(node) == before
    assert cold_call(node, second).tier == "primed"


def test_a_killed_primed_template_costs_nothing_but_its_use_and_is_made_again(node: NodeProcess) -> None:
    version = node.deploy("killed", system="You will fall.", max_instances=2)
    node.ready(version)
    wait_until_primed(node, version)
    running = node.ready(version)  # a fork of the primed one
    before = set(primed_pids(node))
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: version.id not in primed_versions(node), "the loss being noticed")
    assert node.state(running) == "ready"
    for view in node.slots.instances(version=version.id):
        node.commands.stop(NODE, view.id)
    wait_for(lambda: not node.slots.instances(version=version.id), "the end of the instances")
    assert cold_call(node, version).result == "hi"
    wait_until_primed(node, version)
    assert before.isdisjoint(primed_pids(node))
    assert cold_call(node, version).tier == "primed"


def test_it_goes_with_its_function_and_what_runs_goes_on(node: NodeProcess) -> None:
    version = node.deploy("deleted", system="You are gone.", max_instances=2, options={"token_delay": "20ms"})
    node.ready(version)
    wait_until_primed(node, version)
    before = set(primed_pids(node))
    node.ready(version)
    runs = [node.invoke(version, {"messages": [{"role": "user", "content": "x" * 60}]}) for _ in range(9)]
    wait_for(lambda: all(node.chunks(identity) for identity in runs), "the first outputs")
    node.registry.delete("deleted")
    wait_for(lambda: version.id not in primed_versions(node), "its end")
    wait_for(lambda: len(before - set(primed_pids(node))) == 1, "the end of its process")
    assert [node.ended(identity).result for identity in runs] == ["x" * 60] * 9
    for view in node.slots.instances(version=version.id):
        node.commands.stop(NODE, view.id)


def test_it_goes_with_its_checkpoint_and_so_do_its_files(make_node: MakeNode) -> None:
    node = make_node()
    version = node.deploy("forgotten", system=SYSTEM, max_instances=2)
    node.ready(version)
    wait_until_primed(node, version)
    fork = node.ready(version)
    files = node.settings.data_dir / "prefixes" / version.checkpoint
    wait_for(lambda: len(list(files.glob("echo-*"))) == 2, "the file and its checksum")
    node.commands.forget_checkpoint(NODE, version.checkpoint)
    wait_for(lambda: not primed_pids(node) and not files.exists(), "the end of process and files")
    assert node.call(version, QUESTION).result == "hi"  # instances that run keep on
    assert node.state(fork) == "ready"


def test_a_primed_template_larger_than_the_budget_does_not_stay(make_node: MakeNode) -> None:
    node = make_node(prefix_budget=1)
    version = node.deploy("large", system=SYSTEM)
    cold_call(node, version)
    wait_for(lambda: "prefix_budget" in node.log(), "the refusal")
    assert cold_call(node, version).tier != "primed"
    assert primed_pids(node) == []
    assert node.log().count("goes without a primed template") == 1


def test_a_beginning_that_cannot_be_primed_is_told_once_and_the_function_serves(make_node: MakeNode) -> None:
    node = make_node()
    version = node.deploy("too-long", system="x" * 70, options={"context_tokens": 64})
    for _ in range(2):
        assert cold_call(node, version, {"prompt": "hi"}).result == "hi"
    wait_for(lambda: "goes without a primed template" in node.log(), "the reason")
    cold_call(node, version, {"prompt": "hi"})
    assert node.log().count("goes without a primed template") == 1
    assert primed_versions(node) == []


def test_killing_the_worker_ends_primed_templates_and_their_instances(make_node: MakeNode) -> None:
    node = make_node()
    source = "import time\ndef handle(model):\n    yield 'a'\n    time.sleep(0.2)\n    10 ** 10 ** 8\n"
    version = node.deploy("stuck", source, prefix="Once", max_instances=2)
    node.ready(version)
    wait_until_primed(node, version)
    node.ready(version)
    stuck = [node.invoke(version, {}) for _ in range(9)]
    wait_for(lambda: any(node.chunks(identity) for identity in stuck), "an output")
    node.kill()
    node.assert_no_process_left()


@pytest.mark.parametrize("spoilt", [False, True])
def test_another_node_reads_the_file_that_one_has_computed(make_node: MakeNode, tmp_path: Path, spoilt: bool) -> None:
    remote = DirectoryStore(tmp_path / "remote")
    first = make_node(remote=str(tmp_path / "remote"), remote_poll=0.1)
    version = first.deploy("travels", system=SYSTEM)
    index = f"qt:remote:{first.settings.remote}"
    wait_for(lambda: first.redis.sismember(index, version.checkpoint), "the checkpoint being beyond")
    cold_call(first, version)
    wait_until_primed(first, version)
    folder = f"{version.checkpoint}/prefixes/"
    wait_for(lambda: len(remote.list(folder)) == 2, "the file beyond")
    first.stop()
    (kept,) = (first.settings.data_dir / "prefixes").glob("*/*.kv")
    content = kept.read_bytes()
    kept.unlink()
    if spoilt:
        remote.put(folder + kept.name, b"something else")
    first.start()  # as another node would, without the file
    cold_call(first, version)
    wait_until_primed(first, version)
    assert ("does not have the checksum" in first.log()) == spoilt
    assert first.log().count('"computed": true') == (2 if spoilt else 1)
    assert kept.read_bytes() == content
    assert cold_call(first, version).tier == "primed"
