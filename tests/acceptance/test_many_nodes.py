"""Several nodes on one machine, each with a disk of its own: where a call runs, and what its function may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from quickthaw import FunctionSpec, Invocation
from tests.acceptance.cluster import Cluster, running, wait_for, wait_for_checkpoints
from tests.acceptance.echo_models import write_echo_model
from tests.patience import PATIENCE_SECONDS

WORKERS = """
own_disks = true

[[workers]]
node = "a"
labels = {zone = "east"}

[[workers]]
node = "b"
labels = {zone = "west", disk = "slow"}
disk_bandwidth = "50MB"
"""
INPUT = {"prompt": "hello"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Nodes `a` and `b` with the checkpoints `of-a` and `of-b` on their own disks and `of-both` on both."""
    data_dir = tmp_path_factory.mktemp("many-nodes")
    disks = {"a": data_dir / "checkpoints", "b": data_dir / "nodes" / "b" / "checkpoints"}
    for node, disk in disks.items():
        write_echo_model(disk, f"of-{node}")
        write_echo_model(disk, "of-both")
    file = data_dir / "workers.toml"
    file.write_text(WORKERS)
    (data_dir / "beyond").mkdir()
    settings = {
        "preload": "none",
        "gateway_workers": "1",
        "allocation_policy": "startup-time",
        "remote": str(data_dir / "beyond"),
        "remote_bandwidth": "5MB",  # farther than any disk, as it is in earnest
    }
    for cluster in running(data_dir, workers_file=file, **settings):
        wait_for_checkpoints(cluster, 3)
        yield cluster


def deploy(cluster: Cluster, name: str, model: str, **spec: Any) -> None:
    fields = {"memory": "16MiB", "keep_alive": "30s", "options": {"token_delay": "20ms"}, **spec}
    cluster.client.deploy(FunctionSpec(name=name, model=model, engine="echo", **fields))


def node_of(invocation: Invocation) -> str | None:
    assert invocation.result(timeout=PATIENCE_SECONDS) == INPUT["prompt"]
    return invocation.status().node


@pytest.mark.parametrize("node", ["a", "b"])
def test_a_call_runs_where_its_checkpoint_is(cluster: Cluster, node: str) -> None:
    deploy(cluster, f"near-{node}", f"of-{node}")
    assert node_of(cluster.client.spawn(f"near-{node}", INPUT)) == node


@pytest.mark.parametrize(("zone", "node"), [("east", "a"), ("west", "b")])
def test_a_function_runs_on_the_node_with_its_labels(cluster: Cluster, zone: str, node: str) -> None:
    deploy(cluster, f"in-{zone}", "of-both", labels={"zone": zone})
    assert node_of(cluster.client.spawn(f"in-{zone}", INPUT)) == node


def test_spread_puts_instances_onto_different_nodes(cluster: Cluster) -> None:
    deploy(cluster, "wide", "of-both", spread=True, min_instances=2, max_instances=2)
    wait_for(lambda: len(_instances(cluster, "wide")) == 2, "both instances")
    assert _instances(cluster, "wide") == ["a", "b"]
    cluster.client.delete_function("wide")


def _instances(cluster: Cluster, function: str) -> list[str]:
    return sorted(found.node for found in cluster.client.instances() if found.function == function)


def test_a_label_that_no_node_has_is_named_to_those_who_wait(cluster: Cluster) -> None:
    deploy(cluster, "nowhere", "of-both", labels={"zone": "north"})
    waiting = cluster.client.spawn("nowhere", INPUT)
    reason = wait_for(lambda: waiting.status().reason or "", "the reason")
    assert "label zone=north" in reason
    waiting.cancel()


def test_a_labelled_node_that_joins_takes_what_waits_for_it(cluster: Cluster) -> None:
    deploy(cluster, "wants-c", "of-both", labels={"zone": "south"})
    waiting = cluster.client.spawn("wants-c", INPUT)
    wait_for(lambda: waiting.status().reason, "the reason")
    cluster.kill("b")
    wait_for(lambda: cluster.nodes() == {"a"}, "the node's end")
    cluster.start("b", labels="zone=south")
    assert node_of(waiting) == "b"
    shown = {node.id: node.labels for node in cluster.client.nodes()}
    assert shown == {"a": {"zone": "east"}, "b": {"zone": "south"}}


def test_what_is_on_no_disk_comes_from_the_remote_tier_to_the_node_that_may_run_it(cluster: Cluster) -> None:
    """`of-a` was pushed beyond by node `a`; `b` fetches it though `a` would be nearer."""
    wait_for(lambda: _tiers(cluster, "of-a", "b") >= {"remote"}, "the push")
    deploy(cluster, "fetched", "of-a", labels={"zone": "south"})
    call = cluster.client.spawn("fetched", INPUT)
    assert node_of(call) == "b"
    assert call.status().tier == "remote"


def _tiers(cluster: Cluster, model: str, node: str) -> set[str]:
    copies = cluster.client.checkpoint(model).copies
    return {tier for copy in copies if copy.node == node for tier in copy.tiers}
