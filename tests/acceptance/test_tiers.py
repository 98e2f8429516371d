"""A real model from memory, from disk and from S3, with kills in between: the same answer each time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw import Client, FunctionSpec, StartFailed
from quickthaw.generation import Sampling
from quickthaw.resources import CheckpointCopy
from quickthaw.types import InvocationInfo
from quickthaw_backends.engines.vllm_engine import VllmEngine
from quickthaw_platform.commands.seaweed import BUCKET, Seaweed
from tests.acceptance.cluster import Cluster, running, wait_for

MODEL = "smollm2-135m-instruct"
INPUT = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}
SAMPLING = Sampling(temperature=0, max_tokens=10)
NODE = "node-1"


@pytest.fixture(scope="module")
def cluster(checkpoints: Path, s3_server: Seaweed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A platform of its own disk and bucket, with the function `chat`; nothing is primed, so that tiers are told."""
    data_dir = tmp_path_factory.mktemp("tiers")
    for folder in checkpoints.iterdir():
        if (folder / "manifest.json").is_file() and f'"name": "{MODEL}"' in (folder / "manifest.json").read_text():
            copy_tree(folder, data_dir / "checkpoints" / folder.name)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        for cluster in running(data_dir, remote=f"s3://{BUCKET}/acceptance", prefix_budget="0"):
            wait_for(cluster.client.checkpoints, "the checkpoint's announcement")
            cluster.client.deploy(FunctionSpec(name="chat", model=MODEL, memory="512MiB", keep_alive="1s"))
            yield cluster


def copy_tree(source: Path, target: Path) -> None:
    shutil.copytree(source, target)
    os.sync()  # the kernel forgets only pages that are on the disk


def copy_of(client: Client) -> CheckpointCopy:
    (copy,) = client.checkpoint(MODEL).copies
    return copy


def ask(client: Client) -> InvocationInfo:
    return client.invoke("chat", INPUT, sampling=SAMPLING)


def evict(client: Client, tier: str) -> None:
    wait_for(lambda: "remote" in copy_of(client).tiers, "the push to S3")
    wait_for(lambda: not client.instances(), "the scaling to zero")
    client.evict_checkpoint(MODEL, NODE, tier)  # type: ignore[arg-type]  # one of the two
    wait_for(lambda: not {"dram", tier} & set(copy_of(client).tiers), f"the eviction from {tier}")


def test_each_tier_gives_the_same_answer_and_is_named(cluster: Cluster) -> None:
    client = cluster.client
    first = ask(client)
    assert "Paris" in str(first.result)
    evict(client, "dram")
    from_disk = ask(client)
    evict(client, "disk")
    assert set(copy_of(client).tiers) == {"remote"}
    from_s3 = ask(client)
    wait_for(lambda: not client.instances(), "the scaling to zero")
    again = ask(client)
    assert (from_disk.tier, from_s3.tier, again.tier) == ("disk", "remote", "dram")
    assert from_disk.result == from_s3.result == again.result == first.result
    assert {"tier", "arrival", "prefill"} <= set(from_s3.stages)
    wait_for(lambda: "disk" in copy_of(client).tiers, "the writing behind")


@pytest.mark.skipif(VllmEngine.missing() is not None, reason=str(VllmEngine.missing()))
@pytest.mark.timeout(300)
def test_each_tier_gives_vllm_its_weights_too(cluster: Cluster) -> None:
    client, tiers = cluster.client, []
    options = {"dtype": "float32", "can_sleep": False}
    client.deploy(
        FunctionSpec(name="vllm", engine="vllm", model=MODEL, memory="2GiB", keep_alive="1s", options=options)
    )
    for tier in ("dram", "disk"):
        wait_for(lambda: "disk" in copy_of(client).tiers, "the writing behind")
        evict(client, tier)
        answered = client.invoke("vllm", INPUT, sampling=SAMPLING)
        assert "Paris" in str(answered.result)
        tiers.append(answered.tier)
    assert tiers == ["disk", "remote"]
    client.delete_function("vllm")


def test_a_worker_killed_while_it_fetches_leaves_nothing_half(cluster: Cluster) -> None:
    client = cluster.client
    evict(client, "disk")
    client.pull_checkpoint(MODEL, NODE)
    wait_for(lambda: copy_of(client).arriving_bytes is not None or "dram" in copy_of(client).tiers, "the fetching")
    cluster.kill("worker")
    wait_for(lambda: not client.nodes(), "the node's end")
    cluster.start("worker")
    cluster.wait_for_return()
    assert "Paris" in str(ask(client).result)
    assert not list((cluster.data_dir / "checkpoints").glob(".staging-*/manifest.json"))


def test_a_chunk_that_is_wrong_on_the_disk_is_repaired_and_the_answer_right(cluster: Cluster) -> None:
    client = cluster.client
    wait_for(lambda: "disk" in copy_of(client).tiers, "the writing behind")
    evict(client, "dram")
    (file,) = (cluster.data_dir / "checkpoints").glob("*/weights-0.safetensors")
    right = file.read_bytes()
    with file.open("r+b") as opened:
        opened.seek(100_000_000)
        opened.write(bytes(4096))
    assert "Paris" in str(ask(client).result)
    assert file.read_bytes() == right
    assert "was repaired" in (cluster.data_dir / "worker.log").read_text()


def test_what_is_wrong_everywhere_fails_the_call_with_the_files_name(cluster: Cluster) -> None:
    """The last test: it breaks the checkpoint in the bucket."""
    import boto3

    client = cluster.client
    wait_for(lambda: "disk" in copy_of(client).tiers, "the writing behind")
    evict(client, "disk")
    s3 = boto3.client("s3")
    (weights,) = [
        found["Key"]
        for found in s3.list_objects_v2(Bucket=BUCKET, Prefix="acceptance/")["Contents"]
        if found["Key"].endswith("weights-0.safetensors")
    ]
    content = bytearray(s3.get_object(Bucket=BUCKET, Key=weights)["Body"].read())
    content[50_000_000] ^= 1
    s3.put_object(Bucket=BUCKET, Key=weights, Body=bytes(content))
    s3.close()
    with pytest.raises(StartFailed, match=r"chunk 5 of weights-0\.safetensors is wrong"):
        ask(client)
    wait_for(lambda: not client.instances(), "the end of the start")
    assert client.nodes()[0].state == "ready"
