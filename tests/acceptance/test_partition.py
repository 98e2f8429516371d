"""Gateway, Redis, S3 and two workers, each on a network of its own: one is cut off while it works, and comes back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quickthaw import FunctionSpec, InvocationState
from quickthaw_platform.commands import seaweed
from tests.acceptance.cluster import EAST_AND_WEST, Cluster, starting_on, wait_for, wait_for_checkpoints
from tests.acceptance.echo_models import write_echo_model
from tests.acceptance.namespaces import Network, network, refusal
from tests.patience import PATIENCE_SECONDS
from tests.valkey_process import ValkeyProcess

MODEL = "of-a"
HOSTS = ("redis", "s3", "gateway", "a", "b")
NOTICED_SECONDS = 15.0
RETURNED_SECONDS = 40.0
"""TCP waits ever longer between two tries to reach a peer that does not answer, and finds it healed at the next."""


class Spread(Cluster):
    """A cluster whose processes run on the hosts of a network."""

    def __init__(self, data_dir: Path, made: Network, **options: Any) -> None:
        super().__init__(data_dir, **options, host=made.address("gateway"))
        self.network = made
        self.valkey = ValkeyProcess(
            data_dir / "valkey", durable=True, host=made.address("redis"), within=made.within("redis")
        )
        self.url = f"http://{made.address('gateway')}:{self.http_port}"

    def command(self, name: str) -> list[str]:
        """Enter the process's host first."""
        host = name if name in self.workers else "gateway"
        return [*self.network.within(host), *super().command(name)]


@pytest.fixture(scope="module")
def made() -> Iterator[Network]:
    """The network; skips where it may not be made."""
    if why := refusal():
        pytest.skip(f"network namespaces cannot be made here: {why}")
    with network(HOSTS) as found:
        yield found


@pytest.fixture(scope="module")
def s3(made: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An S3 server on its host; yields the variables that lead there."""
    folder = tmp_path_factory.mktemp("seaweed")
    local, address = seaweed.configure(folder), made.address("s3")
    server = local._replace(
        command=tuple(part.replace("127.0.0.1", address) for part in local.command),
        environment={name: value.replace("127.0.0.1", address) for name, value in local.environment.items()},
    )
    with (folder / "log").open("wb") as log:
        command = [*made.within("s3"), *server.command]
        process = subprocess.Popen(
            command, env={**os.environ, **server.own_environment}, cwd=folder, stdout=log, stderr=log
        )
    try:
        seaweed.wait_until_up(server, lambda: process.poll() is None)
        yield dict(server.environment)
    finally:
        process.kill()
        process.wait()
        server.clean()


@pytest.fixture(scope="module")
def cluster(made: Network, s3: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spread]:
    """Nodes `a` and `b`; the checkpoint is on `a`'s disk and in S3."""
    data_dir = tmp_path_factory.mktemp("partition")
    write_echo_model(data_dir / "checkpoints", MODEL)
    file = data_dir / "workers.toml"
    file.write_text(EAST_AND_WEST)
    settings = {"preload": "none", "allocation_policy": "startup-time", "remote": f"s3://{seaweed.BUCKET}/partition"}
    spread = Spread(data_dir, made, workers_file=file, **settings)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.items():
            patch.setenv(name, value)
        try:
            spread.up()
            wait_for_checkpoints(spread, 1)
            wait_for(lambda: _beyond(spread), "the push to S3")
            yield spread
        finally:
            left = spread.down()
    assert not left, f"left behind: {left}"


def _beyond(cluster: Cluster) -> bool:
    return any("remote" in copy.tiers for copy in cluster.client.checkpoint(MODEL).copies)


def deploy(cluster: Cluster, name: str, zone: str | None = None, **spec: Any) -> None:
    labels = {} if zone is None else {"zone": zone}
    fields = {"memory": "16MiB", "options": {"token_delay": "5ms"}, "labels": labels, **spec}
    cluster.client.deploy(FunctionSpec(name=name, model=MODEL, engine="echo", **fields))


def node_of_a_call(cluster: Cluster, name: str) -> str | None:
    call = cluster.client.spawn(name, {"prompt": "hello"})
    assert call.result(timeout=PATIENCE_SECONDS) == "hello"
    return call.status().node


def test_a_node_that_is_cut_off_loses_its_work_to_the_others_and_gets_new_work_when_it_is_back(
    cluster: Spread, made: Network
) -> None:
    deploy(cluster, "in-east", zone="east")
    assert node_of_a_call(cluster, "in-east") == "a"  # which has a template from here on, and `b` has none

    deploy(cluster, "streaming", zone="east", options={"token_delay": "100ms"})
    streaming = cluster.client.spawn("streaming", {"prompt": "word " * 20})
    wait_for(lambda: streaming.status().first_output_at, "the first token")
    deploy(cluster, "starting", options={"load_delay": "3s"})
    held = cluster.client.spawn("starting", {"prompt": "hello"})
    assert starting_on(cluster, "starting") == "a"

    with made.cut("a"):
        queued = wait_for(lambda: streaming.status().state is InvocationState.QUEUED, "the loss", NOTICED_SECONDS)
        assert queued  # only `a` is in the east
        assert held.result(timeout=PATIENCE_SECONDS) == "hello"
        assert held.status().node == "b"
        assert cluster.nodes() == {"b"}
        for number in range(3):
            deploy(cluster, f"meanwhile-{number}")
            assert node_of_a_call(cluster, f"meanwhile-{number}") == "b"

    wait_for(lambda: cluster.nodes() == {"a", "b"}, "the node's return", RETURNED_SECONDS)
    deploy(cluster, "afterwards", zone="east")
    assert node_of_a_call(cluster, "afterwards") == "a"
    assert streaming.result(timeout=PATIENCE_SECONDS) == "word " * 20
    assert streaming.status().node == "a"
    log = list(streaming.events())
    assert [event.seq for event in log] == list(range(1, len(log) + 1))
    found = {i.function for i in cluster.client.instances() if i.node == "a"}
    assert found == {"afterwards", "streaming"}  # and none of those that it had when it was cut off
