"""The router on a running platform: it explains what it decided, and learns how long starts take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quickthaw import FunctionSpec
from tests.acceptance.cluster import Cluster, running, wait_for, wait_for_checkpoints
from tests.acceptance.echo_models import write_echo_model
from tests.patience import PATIENCE_SECONDS

INPUT = {"prompt": "hello"}
LOAD_DELAY_SECONDS = 0.5


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    data_dir = tmp_path_factory.mktemp("router")
    write_echo_model(data_dir / "checkpoints", "tiny")
    for cluster in running(data_dir, preload="none", gateway_workers="1", allocation_policy="startup-time"):
        wait_for_checkpoints(cluster, 1)
        yield cluster


def call(cluster: Cluster) -> str:
    invocation = cluster.client.spawn("chat", INPUT)
    assert invocation.result(timeout=PATIENCE_SECONDS) == INPUT["prompt"]
    return invocation.id


def start_anew(cluster: Cluster) -> str:
    known = compared(cluster)
    for instance in cluster.client.instances():
        cluster.client.stop_instance(instance.id)
    wait_for(lambda: not cluster.client.instances(), "the end of all instances")
    invocation = call(cluster)
    wait_for(lambda: compared(cluster) == known + 1, "the start's comparison")
    return invocation


def compared(cluster: Cluster) -> int:
    overall = cluster.client.router_accuracy().overall
    return 0 if overall is None else overall.starts


def test_starts_are_explained_and_the_estimates_learn_from_them(cluster: Cluster) -> None:
    spec = FunctionSpec(
        name="chat", model="tiny", engine="echo", memory=16 << 20, options={"load_delay": LOAD_DELAY_SECONDS}
    )
    cluster.client.deploy(spec)
    wait_for(lambda: cluster.client.nodes()[0].bandwidths.get("disk"), "the probe")
    cold = cluster.client.explain(call(cluster))
    assert not cold.warm
    [decided] = [decision for decision in cold.decisions if decision.kind == "start"]
    assert (decided.node, decided.instance) == (cold.node, cold.instance)
    assert decided.considered[0].node == cold.node

    warm = cluster.client.explain(call(cluster))
    assert (warm.warm, warm.decisions, warm.instance) == (True, (), cold.instance)

    wait_for(lambda: compared(cluster) == 1, "the first start's comparison")
    taken = []
    for _ in range(2):
        start = cluster.client.explain(start_anew(cluster)).start
        assert start is not None
        assert start.way == "template"
        taken.append(start.actual_seconds or 0.0)
        assert taken[-1] > LOAD_DELAY_SECONDS
    assert start is not None
    assert LOAD_DELAY_SECONDS < (start.predicted_seconds or 0.0) < 1.5 * max(taken)  # nobody told it of the delay
