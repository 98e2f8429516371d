"""A full data disk, and too few file descriptors: what runs goes on, what cannot begin says why, and all recovers."""

from __future__ import annotations

import contextlib
import resource
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from quickthaw import FunctionSpec, QuickthawError
from tests.acceptance.cluster import Cluster, kept_up, wait_for, wait_for_checkpoints
from tests.acceptance.echo_models import write_echo_model
from tests.acceptance.test_unwell import assert_well, fill, mount
from tests.patience import PATIENCE_SECONDS
from tests.valkey_process import ValkeyProcess

TEXT = "word " * 40
DATA_MEBIBYTES = 128
FEW_DESCRIPTORS = 256


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A platform whose data lie on a small disk, and whose Valkey's do not."""
    data_dir: Path = tmp_path_factory.mktemp("scarce")
    refusal = mount(data_dir, DATA_MEBIBYTES)
    if refusal:
        pytest.skip(f"a full disk takes a mount, and this machine allows none: {refusal}")
    try:
        write_echo_model(data_dir / "checkpoints", "tiny")
        made = Cluster(data_dir, preload="none")
        made.valkey = ValkeyProcess(tmp_path_factory.mktemp("valkey"), durable=True)
        for cluster in kept_up(made):
            wait_for_checkpoints(cluster, 1)
            deploy(cluster, "quick")
            deploy(cluster, "streams", token_delay="30ms")
            for name in ("quick", "streams"):
                assert cluster.client.invoke(name, {"prompt": "thaw"}).result == "thaw"
            yield cluster
    finally:
        subprocess.run(["umount", "--lazy", str(data_dir)], check=True)


def deploy(cluster: Cluster, name: str, **options: str) -> None:
    cluster.client.deploy(
        FunctionSpec(name=name, model="tiny", engine="echo", memory=16 << 20, keep_alive=600.0, options=options)
    )


def test_what_runs_goes_on_while_the_data_disk_is_full_and_all_starts_again_when_there_is_room(
    cluster: Cluster,
) -> None:
    stream = cluster.client.spawn("streams", {"prompt": TEXT})
    wait_for(lambda: stream.status().first_output_at, "the first output")
    deploy(cluster, "cold")
    with fill(cluster.data_dir):
        assert cluster.client.invoke("quick", {"prompt": "warm"}).result == "warm"
        with contextlib.suppress(QuickthawError):  # a start may need the disk or not: it ends, one way or the other
            cluster.client.spawn("cold", {"prompt": "cold"}).result(timeout=PATIENCE_SECONDS)
        assert httpx.get(f"{cluster.url}/metrics", timeout=PATIENCE_SECONDS).is_success
        assert stream.result(timeout=PATIENCE_SECONDS) == TEXT
    assert_well(cluster, ("quick", "streams", "cold"))


@contextmanager
def few_descriptors(process: psutil.Process) -> Iterator[None]:
    """Let a process open few files more than it has."""
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (FEW_DESCRIPTORS, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)


def test_a_gateway_whose_descriptors_are_all_taken_answers_again_when_they_are_not(cluster: Cluster) -> None:
    with contextlib.ExitStack() as stack:
        for process in cluster.descendants("gateway"):
            stack.enter_context(few_descriptors(process))
        address = ("127.0.0.1", cluster.http_port)
        with contextlib.ExitStack() as callers:
            for _ in range(3 * FEW_DESCRIPTORS):
                callers.enter_context(socket.create_connection(address, 10))
        assert_well(cluster, ("quick", "streams"))


def test_a_worker_with_few_descriptors_serves_and_starts(cluster: Cluster) -> None:
    with few_descriptors(psutil.Process(cluster.processes["worker"].pid)):
        calls = [cluster.client.spawn("quick", {"prompt": f"call {number}"}) for number in range(100)]
        assert [call.result(timeout=PATIENCE_SECONDS) for call in calls] == [f"call {number}" for number in range(100)]
        deploy(cluster, "another")
        assert cluster.client.invoke("another", {"prompt": "hello"}).result == "hello"
    assert_well(cluster, ("quick", "streams", "another"))
