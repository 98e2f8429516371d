"""The router makes room by moving what runs, where that is sooner than to wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quickthaw import FunctionSpec
from tests.acceptance.cluster import EAST_AND_WEST, Cluster, running, wait_for, wait_for_checkpoints
from tests.acceptance.echo_models import write_echo_model
from tests.patience import PATIENCE_SECONDS

TEXT = "word " * 40


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Nodes `a` (east) and `b` (west), each with room for one instance."""
    data_dir: Path = tmp_path_factory.mktemp("moves")
    write_echo_model(data_dir / "checkpoints", "tiny")
    file = data_dir / "workers.toml"
    file.write_text(EAST_AND_WEST.replace("own_disks = true", ""))
    settings = {"preload": "none", "gateway_workers": "1", "allocation_policy": "startup-time", "node_memory": "20MiB"}
    for cluster in running(data_dir, workers_file=file, **settings):
        wait_for_checkpoints(cluster, 1)
        yield cluster


def deploy(cluster: Cluster, name: str, **fields: Any) -> None:
    cluster.client.deploy(FunctionSpec(name=name, model="tiny", engine="echo", memory=16 << 20, **fields))


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
