"""The router on a running platform: it explains what it decided, and learns how long starts take."""

from __future__ import annotations

from quickthaw import FunctionSpec
from quickthaw.resources import StartInfo
from tests.acceptance.cluster import Cluster, wait_for
from tests.integration.worker.echo_checkpoint import MODEL
from tests.patience import PATIENCE_SECONDS

INPUT = {"prompt": "hello"}
LOAD_DELAY_SECONDS = 0.5


def call(cluster: Cluster) -> str:
    invocation = cluster.client.spawn("explained", INPUT)
    assert invocation.result(timeout=PATIENCE_SECONDS) == INPUT["prompt"]
    return invocation.id


def start_anew(cluster: Cluster) -> StartInfo:
    for instance in cluster.client.instances():
        cluster.client.stop_instance(instance.id)
    wait_for(lambda: not cluster.client.instances(), "the end of all instances")
    return start_of(cluster, call(cluster))


def start_of(cluster: Cluster, invocation: str) -> StartInfo:
    """Wait until the start that served an invocation has been compared with its estimate."""

    def compared() -> StartInfo | None:
        start = cluster.client.explain(invocation).start
        return start if start is not None and start.actual_seconds is not None else None

    start = wait_for(compared, "the start's comparison")
    assert start is not None
    return start


def test_starts_are_explained_and_the_estimates_learn_from_them(one_node: Cluster) -> None:
    cluster, options = one_node, {"load_delay": LOAD_DELAY_SECONDS}
    cluster.client.deploy(FunctionSpec(name="explained", model=MODEL, engine="echo", memory=16 << 20, options=options))
    wait_for(lambda: cluster.client.nodes()[0].bandwidths.get("disk"), "the probe")
    cold = cluster.client.explain(call(cluster))
    assert not cold.warm
    [decided] = [decision for decision in cold.decisions if decision.kind == "start"]
    assert (decided.node, decided.instance) == (cold.node, cold.instance)
    assert decided.considered[0].node == cold.node

    warm = cluster.client.explain(call(cluster))
    assert (warm.warm, warm.decisions, warm.instance) == (True, (), cold.instance)

    start_of(cluster, cold.id)
    taken = []
    for _ in range(2):
        start = start_anew(cluster)
        assert start.way == "template"
        taken.append(start.actual_seconds or 0.0)
        assert taken[-1] > LOAD_DELAY_SECONDS
    assert LOAD_DELAY_SECONDS < (start.predicted_seconds or 0.0) < 1.5 * max(taken)  # nobody told it of the delay
    overall = cluster.client.router_accuracy().overall
    assert overall is not None
    assert overall.starts >= 1 + len(taken)
