"""The S3 server of the remote tier is away: what is on the disk is served, what is not says so, and all recovers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quickthaw import FunctionSpec, StartFailed
from quickthaw_platform.commands.seaweed import BUCKET, Seaweed
from tests.acceptance.cluster import Cluster, running, wait_for, wait_for_checkpoints
from tests.acceptance.echo_models import write_echo_model
from tests.acceptance.test_unwell import assert_well
from tests.tcp_proxy import TcpProxy

NODE = "node-1"
NOBODY = 1
"""A port at which nothing listens."""

PUSH_SECONDS = 60.0


@pytest.fixture
def road(s3_server: Seaweed) -> Iterator[TcpProxy]:
    """The way to the S3 server, which can be cut."""
    proxy = TcpProxy(port_of(s3_server))
    yield proxy
    proxy.close()


def port_of(server: Seaweed) -> int:
    return int(server.environment["AWS_ENDPOINT_URL_S3"].rpartition(":")[2])


@pytest.fixture
def cluster(s3_server: Seaweed, road: TcpProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A platform with the function `here`, whose model its disk has, and `there`, whose model only S3 has."""
    data_dir = tmp_path_factory.mktemp("remote")
    for name in ("kept", "left"):
        write_echo_model(data_dir / "checkpoints", name)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value.replace(f":{port_of(s3_server)}", f":{road.port}"))
        for cluster in running(data_dir, remote=f"s3://{BUCKET}/{data_dir.name}", preload="none", remote_poll="500ms"):
            lay_out(cluster)
            yield cluster


def lay_out(cluster: Cluster) -> None:
    """Deploy both functions, and leave the model of `there` to S3."""
    wait_for_checkpoints(cluster, 2)
    for name, model in (("here", "kept"), ("there", "left")):
        cluster.client.deploy(FunctionSpec(name=name, model=model, engine="echo", memory=16 << 20))
    wait_for(lambda: all("remote" in tiers(cluster, name) for name in ("kept", "left")), "the pushes")
    cluster.client.evict_checkpoint("left", NODE, "disk")
    wait_for(lambda: tiers(cluster, "left") == {"remote"}, "the eviction")


def tiers(cluster: Cluster, model: str) -> set[str]:
    """Return where a checkpoint is, as far as the node knows."""
    return {tier for copy in cluster.client.checkpoint(model).copies for tier in copy.tiers}


def test_what_is_on_the_disk_is_served_without_s3_and_the_rest_when_it_is_back(
    cluster: Cluster, road: TcpProxy, s3_server: Seaweed
) -> None:
    client = cluster.client
    road.point_to(NOBODY)
    assert client.invoke("here", {"prompt": "hello"}).result == "hello"
    with pytest.raises(StartFailed, match="s3://"):
        client.spawn("there", {"prompt": "hello"}).result(timeout=120)
    write_echo_model(cluster.data_dir / "checkpoints", "fresh")
    wait_for_checkpoints(cluster, 3)
    wait_for(lambda: any(copy.push_error for copy in client.checkpoint("fresh").copies), "the report", PUSH_SECONDS)
    road.point_to(port_of(s3_server))
    assert_well(cluster, ("here", "there"))
    wait_for(lambda: "remote" in tiers(cluster, "fresh"), "the push", PUSH_SECONDS)
    wait_for(lambda: not any(copy.push_error for copy in client.checkpoint("fresh").copies), "the end of the report")
