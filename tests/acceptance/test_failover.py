"""The primary Valkey dies for good and its replica takes its place, while calls run, start and come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from quickthaw import FunctionSpec
from quickthaw_platform.redis_client import connect
from quickthaw_platform.settings import Settings
from tests.acceptance.cluster import Cluster, kept_up, wait_for, wait_for_checkpoints
from tests.acceptance.echo_models import write_echo_model
from tests.patience import PATIENCE_SECONDS
from tests.tcp_proxy import TcpProxy
from tests.valkey_process import ValkeyProcess

TEXT = "word " * 40


class Replicated(ValkeyProcess):
    """A primary and its replica behind one address, as a failover by DNS, a virtual address or Sentinel has it."""

    def start(self) -> None:
        super().start()
        self.proxy = TcpProxy(self.port)
        with self.client() as primary:
            primary.config_set("repl-diskless-sync-delay", "0")  # it would wait five seconds for more replicas
        self.replica = ValkeyProcess(self.folder / "replica", durable=True)
        self.replica.folder.mkdir()
        self.replica.start()
        with self.replica.client() as client:
            client.replicaof("127.0.0.1", str(self.port))

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.proxy.port}/0"

    def client(self) -> Redis:
        return connect(Settings(redis_url=self.url))

    def fail_over(self) -> None:
        """The primary dies and does not come back; what it knew before this call the replica knows."""
        with self.client() as primary, self.replica.client() as replica:
            written = primary.info("replication")["master_repl_offset"]
            wait_for(lambda: _received(replica) >= written, "the replica's catching up")
        self.kill()
        with self.replica.client() as client:
            client.replicaof("NO", "ONE")
        self.proxy.point_to(self.replica.port)

    def stop(self) -> None:
        self.proxy.close()
        self.replica.stop()
        super().stop()


def _received(replica: Redis) -> int:
    """Return how much of the primary's stream a replica has; nothing before its first whole copy."""
    known = replica.info("replication")
    return int(known["slave_repl_offset"]) if known["master_link_status"] == "up" else -1


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    data_dir: Path = tmp_path_factory.mktemp("failover")
    write_echo_model(data_dir / "checkpoints", "tiny")
    made = Cluster(data_dir, preload="none")
    made.valkey = Replicated(data_dir / "valkey", durable=True)
    made.valkey.folder.mkdir(exist_ok=True)
    for cluster in kept_up(made):
        wait_for_checkpoints(cluster, 1)
        yield cluster


def test_calls_that_run_start_and_wait_outlive_a_failover(cluster: Cluster) -> None:
    shape = {"model": "tiny", "engine": "echo", "memory": 16 << 20}
    cluster.client.deploy(FunctionSpec(name="streams", **shape, options={"token_delay": "30ms"}))
    cluster.client.deploy(FunctionSpec(name="starts", **shape, options={"load_delay": "2s"}))
    stream = cluster.client.spawn("streams", {"prompt": TEXT})
    wait_for(lambda: stream.status().first_output_at, "the first output")
    starting = [cluster.client.spawn("starts", {"prompt": f"hello {number}"}) for number in range(10)]
    assert isinstance(cluster.valkey, Replicated)
    cluster.valkey.fail_over()
    late = cluster.client.spawn("starts", {"prompt": "late"})
    assert stream.result(timeout=PATIENCE_SECONDS) == TEXT
    assert [call.result(timeout=PATIENCE_SECONDS) for call in starting] == [f"hello {number}" for number in range(10)]
    assert late.result(timeout=PATIENCE_SECONDS) == "late"
    for call in (stream, *starting, late):
        seqs = [event.seq for event in call.events()]
        assert seqs == list(range(1, len(seqs) + 1))
    wait_for(lambda: not cluster.redis.keys("qt:instance.leases:*"), "the end of all leases")
