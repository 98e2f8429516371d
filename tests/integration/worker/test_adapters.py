"""LoRA adapters on a real worker: functions with and without one, from one template."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from quickthaw.types import InvocationInfo, Version
from quickthaw_backends.engines.llamacpp_engine import LlamaCppEngine
from quickthaw_platform.checkpoints.importers.importing import import_checkpoint
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.metering.usage.store import UsageStore
from quickthaw_platform.registry.catalogue import Catalogue, describe
from tests.integration.worker.conftest import MakeNode
from tests.integration.worker.node_process import NodeProcess
from tests.integration.worker.worker_process import NODE, wait_for
from tests.unit.checkpoints.gguf_files import write_adapter, write_llama

pytestmark = pytest.mark.skipif(LlamaCppEngine.missing() is not None, reason=str(LlamaCppEngine.missing()))

GREEDY = {"input": {"prompt": "hello there"}, "sampling": {"temperature": 0, "max_tokens": 16, "ignore_eos": True}}
REQUEST = GREEDY | {"seed": 7}


def bring(node: NodeProcess, file: Path) -> Checkpoint:
    """Import a file onto the node's disk and announce it, as its next heartbeat would."""
    found = import_checkpoint(str(file), DiskStore(node.settings.checkpoints_dir)).checkpoint
    Catalogue(node.redis).announce([describe(Manifest.of(found))])
    return found


def with_model(node: NodeProcess, folder: Path) -> None:
    folder.mkdir()
    bring(node, write_llama(folder / "base.gguf", context_tokens=256)[0])
    for seed in (1, 2):
        bring(node, write_adapter(folder / f"lora{seed}.gguf", seed))


def deploy(node: NodeProcess, name: str, adapter: str | None, **spec: Any) -> Version:
    return node.deploy(name, model="base", engine="llamacpp", adapter=adapter, **spec)


def in_memory(node: NodeProcess) -> list[str]:
    return list(json.loads(node.redis.hget(f"qt:node:{NODE}", "tiers") or "{}").get("dram", ()))


def ask(node: NodeProcess, version: Version) -> InvocationInfo:
    return node.call(version, request=REQUEST)


def test_functions_with_and_without_adapters_come_from_one_template(make_node: MakeNode, tmp_path: Path) -> None:
    node = make_node()
    with_model(node, tmp_path / "files")
    versions = [deploy(node, f"f{n}", adapter) for n, adapter in enumerate((None, "lora1", "lora2", "lora1"))]
    found = [ask(node, version) for version in versions]
    plain, first, second, again = (info.result for info in found)
    assert len({plain, first, second}) == 3
    assert again == first
    pids = node.pids()
    assert (len(pids["qt-template"]), len(pids["qt-instance"])) == (1, 4)
    assert ask(node, versions[0]).result == plain
    assert "near-ties" in "".join(row["line"] for row in node.logs("f1"))


def test_a_version_with_an_adapter_is_not_primed_and_its_system_message_is_said(
    make_node: MakeNode, tmp_path: Path
) -> None:
    node = make_node()
    with_model(node, tmp_path / "files")
    adapted, plain = (deploy(node, name, lora, system="Be kind.") for name, lora in (("a", "lora1"), ("b", None)))
    question = REQUEST | {"input": {"messages": [{"role": "user", "content": "hi"}]}}
    asked = [node.call(version, request=question).usage for version in (adapted, plain)]
    assert [usage and usage.prompt_tokens for usage in asked] == [len("Be kind.hi")] * 2
    wait_for(lambda: plain.id in str(node.redis.hget(f"qt:node:{NODE}", "primed")), "the other one being primed")
    assert adapted.id not in str(node.redis.hget(f"qt:node:{NODE}", "primed"))


def test_the_adapter_s_bytes_are_metered_and_its_room_is_free_after_its_instance(
    make_node: MakeNode, tmp_path: Path
) -> None:
    node = make_node(heartbeat=0.1)
    with_model(node, tmp_path / "files")
    store = DiskStore(node.settings.checkpoints_dir)
    base, adapter = (Manifest.of(store.find(name)).weights_bytes for name in ("base", "lora1"))
    version = deploy(node, "f", "lora1")
    instance = node.ready(version)
    (row,) = wait_for(lambda: UsageStore(node.redis, 86_400.0).rows(None, None, ()), "its usage being written")
    # the file once in the node's memory, and the instance's own copy
    assert row.memory_byte_seconds == pytest.approx(row.seconds * (node.settings.instance_memory + base + 2 * adapter))
    node.commands.stop(NODE, instance)
    wait_for(lambda: not node.slots.instances(version=version.id), "the end of the instance")
    assert version.adapter_checkpoint is not None
    node.commands.evict_checkpoint(NODE, version.adapter_checkpoint, "dram")
    wait_for(lambda: version.adapter_checkpoint not in in_memory(node), "the adapter being dropped")
    assert version.checkpoint in in_memory(node)


def test_an_adapter_that_the_node_cannot_get_at_fails_the_call_and_says_so(make_node: MakeNode, tmp_path: Path) -> None:
    node = make_node()
    with_model(node, tmp_path / "files")
    version = deploy(node, "f", "lora1")
    shutil.rmtree(DiskStore(node.settings.checkpoints_dir).find("lora1").path)
    info = ask(node, version)
    assert info.error is not None
    assert "adapter 'lora1': checkpoint" in info.error["message"]
    assert "models import" in info.error["message"]


def test_an_adapter_is_fetched_from_beyond_like_any_checkpoint(make_node: MakeNode, tmp_path: Path) -> None:
    node = make_node(remote=str(tmp_path / "remote"), remote_poll=0.1)
    with_model(node, tmp_path / "files")
    version = deploy(node, "f", "lora1")
    index = f"qt:remote:{node.settings.remote}"
    for checkpoint in (version.checkpoint, version.adapter_checkpoint):
        wait_for(lambda c=checkpoint: node.redis.sismember(index, c), "the checkpoint being beyond")  # type: ignore[misc]
    there = ask(node, version).result
    node.stop()
    shutil.rmtree(DiskStore(node.settings.checkpoints_dir).find("lora1").path)
    node.start()
    wait_for(lambda: node.redis.hget(f"qt:node:{NODE}", "state") == "ready", "the node's return")
    assert ask(node, version).result == there
