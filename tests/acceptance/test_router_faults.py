"""Nodes that vanish, come back otherwise, or are full, while calls queue: each call ends, elsewhere or with a cause."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from quickthaw import FunctionSpec, Invocation, QuickthawError
from quickthaw.errors import FunctionNotFound, InvocationCancelled, VersionNotFound
from quickthaw.types import InvocationState, Limits
from tests.acceptance.cluster import (
    EAST_AND_WEST,
    RETURN_SECONDS,
    Cluster,
    running,
    starting_on,
    wait_for,
    wait_for_checkpoints,
)
from tests.acceptance.echo_models import MIB, write_echo_model

ZONES = {"a": "east", "b": "west"}
MODELS = ("of-a", "vanishing", "loading", "burst", "plain")
MODEL_MEBIBYTES = 16
NODE_MEMORY = "64MiB"
SLOW = "4MB"
"""Bytes a second: a load then takes long enough to be killed in its middle."""

GREEDY_TEXT = "more and more and more and more"
"""Takes more than a second to echo at 40 ms a byte, so that another instance is worth its start."""

STARTED_SECONDS = 30.0
TURN_SECONDS = 15.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Nodes `a` and `b` with room for four small instances each; the checkpoints are on `a`'s disk and beyond."""
    data_dir = tmp_path_factory.mktemp("router-faults")
    (data_dir / "beyond").mkdir()
    for model in MODELS:
        write_echo_model(data_dir / "checkpoints", model, MODEL_MEBIBYTES)
    for model in ("burst", "plain"):
        write_echo_model(data_dir / "nodes" / "b" / "checkpoints", model, MODEL_MEBIBYTES)
    file = data_dir / "workers.toml"
    file.write_text(EAST_AND_WEST)
    settings = {
        "preload": "none",
        "gateway_workers": "1",
        "allocation_policy": "startup-time",
        "remote": str(data_dir / "beyond"),
        "node_memory": NODE_MEMORY,
        "heartbeat_ttl": "2s",
    }
    for cluster in running(data_dir, workers_file=file, **settings):
        wait_for_checkpoints(cluster, len(MODELS))
        wait_for(lambda c=cluster: all(pushed(c, model) for model in MODELS), "the push of all checkpoints")  # type: ignore[misc]
        yield cluster


@pytest.fixture(autouse=True)
def both_nodes(cluster: Cluster) -> None:
    """Start again the workers that the test before has killed."""
    restart(cluster, *(node for node in ZONES if cluster.processes[node].poll() is not None))


def pushed(cluster: Cluster, model: str) -> bool:
    return any("remote" in copy.tiers for copy in cluster.client.checkpoint(model).copies)


def deploy(cluster: Cluster, name: str, model: str, **spec: Any) -> str:
    fields = {"memory": "16MiB", "keep_alive": "1s", "options": {"token_delay": "5ms"}, **spec}
    return cluster.client.deploy(FunctionSpec(name=name, model=model, engine="echo", **fields)).id


def restart(cluster: Cluster, *nodes: str, **settings: str) -> None:
    """Kill the workers of these nodes, wait until the platform has noticed, and start them again."""
    for node in nodes:
        if cluster.processes[node].poll() is None:
            cluster.kill(node)
    wait_for(lambda: cluster.nodes().isdisjoint(nodes), f"the end of nodes {nodes}")
    for node in nodes:
        cluster.start(node, **settings)
    wait_for(lambda: cluster.nodes().issuperset(nodes), f"the return of nodes {nodes}", RETURN_SECONDS)


def cool(cluster: Cluster) -> None:
    """Have the kernel forget the weights on the disks: only what it does not remember is read at a disk's pace."""
    os.sync()
    for file in cluster.data_dir.glob("**/checkpoints/*/weights-*"):
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def decided(cluster: Cluster, call: Invocation) -> str:
    """Return the node that a call was first given a start on; '' while there is none."""
    starts = [decision for decision in cluster.client.explain(call.id).decisions if decision.kind == "start"]
    return starts[0].node or "" if starts else ""


def ends(calls: list[Invocation]) -> list[Any]:
    """Return what became of each call: its result, or the error with its cause."""
    found: list[Any] = []
    for call in calls:
        try:
            found.append(call.result(timeout=STARTED_SECONDS))
        except QuickthawError as error:
            found.append(error)
    return found


def test_a_node_that_vanishes_between_decision_and_start_costs_a_start_elsewhere(cluster: Cluster) -> None:
    deploy(cluster, "vanishing", "vanishing")
    for node in ZONES:
        os.killpg(cluster.processes[node].pid, signal.SIGSTOP)  # it beats no more, and is believed alive for a while
    call = cluster.client.spawn("vanishing", {"prompt": "hello"})
    chosen = wait_for(lambda: decided(cluster, call), "the decision")
    cluster.kill(chosen)
    (other,) = ZONES.keys() - {chosen}
    os.killpg(cluster.processes[other].pid, signal.SIGCONT)
    assert call.result(timeout=STARTED_SECONDS) == "hello"
    assert call.status().node == other


def test_a_node_that_dies_while_it_loads_leaves_no_request_behind(cluster: Cluster) -> None:
    restart(cluster, *ZONES, disk_bandwidth=SLOW, remote_bandwidth=SLOW)
    cool(cluster)
    deploy(cluster, "loading", "loading")
    calls = [cluster.client.spawn("loading", {"prompt": f"word {i}"}) for i in range(5)]
    node = starting_on(cluster, "loading")
    deploy(cluster, "bound", "loading", labels={"zone": ZONES[node]}, limits=Limits(start=6.0))
    bound = cluster.client.spawn("bound", {"prompt": "only there"})
    cluster.kill(node)
    assert ends(calls) == [f"word {i}" for i in range(5)]
    assert node not in {call.status().node for call in calls}
    (cause,) = ends([bound])
    assert cause.code == "start_timeout"
    assert not [i for i in cluster.client.instances() if i.node not in cluster.nodes()]


def test_a_node_that_returns_with_another_disk_is_not_believed_its_old_checkpoints(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    restart(cluster, "a", disk_dir=str(tmp_path / "empty"))
    (found,) = [node for node in cluster.client.nodes() if node.id == "a"]
    assert found.checkpoints == ()
    deploy(cluster, "again", "of-a", labels={"zone": "east"})
    call = cluster.client.spawn("again", {"prompt": "hello"})
    assert call.result(timeout=STARTED_SECONDS) == "hello"
    assert (call.status().node, call.status().tier) == ("a", "remote")


def test_fifty_calls_at_once_of_a_cold_function_load_it_once_a_node_and_are_served_in_order(cluster: Cluster) -> None:
    restart(cluster, *ZONES, disk_bandwidth="16MB")
    cool(cluster)
    before = {node: read_bytes(cluster, node) for node in ("a", "b")}
    deploy(cluster, "burst", "burst", concurrency=4, max_instances=4)
    with ThreadPoolExecutor(10) as pool:
        calls = list(pool.map(lambda i: cluster.client.spawn("burst", {"prompt": f"{i}"}), range(50)))
    assert ends(calls) == [f"{i}" for i in range(50)]
    read = {node: read_bytes(cluster, node) - before[node] for node in ("a", "b")}
    assert max(read.values()) >= MODEL_MEBIBYTES * MIB
    logs = "".join((cluster.data_dir / f"{node}.log").read_text()[-20_000:] for node in read)
    assert max(read.values()) < 1.5 * MODEL_MEBIBYTES * MIB, f"{read}\n{logs}"
    served = sorted((call.status() for call in calls), key=lambda info: info.created_at)
    assigned = [info.assigned_at or 0.0 for info in served]
    assert assigned == sorted(assigned)


def read_bytes(cluster: Cluster, node: str) -> int:
    """Return how many bytes the node's agent, which loads its checkpoints, has read so far."""
    return int(psutil.Process(cluster.processes[node].pid).io_counters().read_chars)


def test_deploy_rollback_and_delete_leave_those_who_queue_an_end(cluster: Cluster) -> None:
    first = deploy(cluster, "changing", "plain", concurrency=1, options={"token_delay": "50ms"})
    running_call = cluster.client.spawn("changing", {"prompt": "a long first answer"})
    queued = [cluster.client.spawn("changing", {"prompt": f"{i}"}) for i in range(3)]
    second = deploy(cluster, "changing", "plain", concurrency=2, options={"token_delay": "50ms"})
    after_deploy = cluster.client.spawn("changing", {"prompt": "new"})
    cluster.client.rollback("changing")
    after_rollback = cluster.client.spawn("changing", {"prompt": "old"})
    calls = [running_call, *queued, after_deploy, after_rollback]
    assert ends(calls) == ["a long first answer", "0", "1", "2", "new", "old"]
    assert [call.status().version for call in calls] == [first] * 4 + [second, first]

    running_call = cluster.client.spawn("changing", {"prompt": "to the end"})
    wait_for(lambda: running_call.status().state is InvocationState.RUNNING, "the running")
    queued = [cluster.client.spawn("changing", {"prompt": f"{i}"}) for i in range(3)]
    cluster.client.delete_function("changing")
    said, *others = ends([running_call, *queued])
    assert said == "to the end"
    assert all(isinstance(other, InvocationCancelled | VersionNotFound | FunctionNotFound) for other in others), others


def test_a_stream_of_one_functions_calls_does_not_starve_another(cluster: Cluster) -> None:
    options = {"token_delay": "40ms"}
    deploy(cluster, "greedy", "plain", memory=NODE_MEMORY, max_instances=2, concurrency=2, options=options)
    deploy(cluster, "modest", "burst", memory=NODE_MEMORY)
    stop = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        callers = [pool.submit(_call_until, stop, cluster, "greedy") for _ in range(8)]
        try:
            wait_for(lambda: len(_nodes_of(cluster, "greedy")) == 2, "its filling both nodes")
            assert cluster.client.spawn("modest", {"prompt": "me too"}).result(timeout=TURN_SECONDS) == "me too"
        finally:
            stop.set()
        assert all(caller.result() > 0 for caller in callers)


def _call_until(stop: threading.Event, cluster: Cluster, function: str) -> int:
    """Call one after another until told to stop; returns how many calls succeeded."""
    count = 0
    while not stop.is_set():
        cluster.client.invoke(function, {"prompt": GREEDY_TEXT})
        count += 1
    return count


def _nodes_of(cluster: Cluster, function: str) -> set[str]:
    return {i.node for i in cluster.client.instances() if i.function == function and i.state == "ready"}
