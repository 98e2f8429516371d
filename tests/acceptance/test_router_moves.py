"""The router makes room by moving what runs, where that is sooner than to wait."""

from __future__ import annotations

from typing import Any

import pytest

from quickthaw import FunctionSpec
from tests.acceptance.cluster import Cluster, wait_for
from tests.integration.worker.echo_checkpoint import MODEL
from tests.patience import PATIENCE_SECONDS

TEXT = "word " * 40
ROOM_SHARE = 0.6
"""Of the smaller node's memory: two do not fit."""


@pytest.fixture
def cluster(two_nodes: Cluster) -> Cluster:
    """Nodes `a` (east) and `b` (west), each with room for one instance of what `deploy` deploys."""
    return two_nodes


def deploy(cluster: Cluster, name: str, **fields: Any) -> None:
    memory = int(ROOM_SHARE * min(node.memory_bytes for node in cluster.client.nodes()))
    cluster.client.deploy(FunctionSpec(name=name, model=MODEL, engine="echo", memory=memory, **fields))


def test_a_running_stream_moves_away_from_the_only_node_that_a_call_may_run_on(cluster: Cluster) -> None:
    deploy(cluster, "anywhere", options={"token_delay": "50ms"}, labels={"zone": "east"})
    cluster.client.invoke("anywhere", {"prompt": "thaw"})
    deploy(cluster, "anywhere", options={"token_delay": "50ms"})
    deploy(cluster, "filler", options={"token_delay": "500ms"}, labels={"zone": "west"})
    filler = cluster.client.spawn("filler", {"prompt": TEXT})
    wait_for(lambda: filler.status().first_output_at, "work on b, so that the stream begins on a")
    stream = cluster.client.spawn("anywhere", {"prompt": TEXT})
    wait_for(lambda: stream.status().first_output_at, "the first output")
    assert stream.status().node == "a"
    filler.cancel()
    for instance in cluster.client.instances():
        if instance.function == "filler":
            cluster.client.stop_instance(instance.id)
    wait_for(lambda: not [i for i in cluster.client.instances() if i.function == "filler"], "room on b")

    deploy(cluster, "eastern", labels={"zone": "east"})
    assert cluster.client.invoke("eastern", {"prompt": "hello"}).node == "a"
    assert not stream.status().state.ended
    assert stream.result(timeout=PATIENCE_SECONDS) == TEXT
    life = cluster.client.life(stream.id)
    assert (life.moves, life.invocation.node) == (1, "b")
