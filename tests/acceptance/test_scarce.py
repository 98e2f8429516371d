"""A full data disk, and too few file descriptors: what runs goes on, what cannot begin says why, and all recovers."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
import pytest

from quickthaw import QuickthawError
from tests.acceptance.cluster import wait_for
from tests.acceptance.small_disks import WARM, SmallDisks, fill
from tests.acceptance.test_unwell import assert_well
from tests.patience import PATIENCE_SECONDS

TEXT = "word " * 40
FEW_DESCRIPTORS = 256


@pytest.fixture(scope="module")
def cluster(small_disks: SmallDisks) -> SmallDisks:
    """A platform whose data lie on a small disk, and whose Valkey's do not, with two warm functions."""
    small_disks.need_disks()
    small_disks.deploy_warm()
    return small_disks


def test_what_runs_goes_on_while_the_data_disk_is_full_and_all_starts_again_when_there_is_room(
    cluster: SmallDisks,
) -> None:
    stream = cluster.client.spawn("streams", {"prompt": TEXT})
    wait_for(lambda: stream.status().first_output_at, "the first output")
    cluster.deploy("cold")
    with fill(cluster.data_dir):
        assert cluster.client.invoke("quick", {"prompt": "warm"}).result == "warm"
        with contextlib.suppress(QuickthawError):  # a start may need the disk or not: it ends, one way or the other
            cluster.client.spawn("cold", {"prompt": "cold"}).result(timeout=PATIENCE_SECONDS)
        assert httpx.get(f"{cluster.url}/metrics", timeout=PATIENCE_SECONDS).is_success
        assert stream.result(timeout=PATIENCE_SECONDS) == TEXT
    assert_well(cluster, (*WARM, "cold"))


@contextmanager
def few_descriptors(process: psutil.Process) -> Iterator[None]:
    """Let a process open few files more than it has."""
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (FEW_DESCRIPTORS, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)


def test_a_gateway_whose_descriptors_are_all_taken_answers_again_when_they_are_not(cluster: SmallDisks) -> None:
    with contextlib.ExitStack() as stack:
        for process in cluster.descendants("gateway"):
            stack.enter_context(few_descriptors(process))
        address = ("127.0.0.1", cluster.http_port)
        with contextlib.ExitStack() as callers:
            for _ in range(3 * FEW_DESCRIPTORS):
                callers.enter_context(socket.create_connection(address, 10))
        assert_well(cluster, WARM)


def test_a_worker_with_few_descriptors_serves_and_starts(cluster: SmallDisks) -> None:
    with few_descriptors(psutil.Process(cluster.processes["worker"].pid)):
        calls = [cluster.client.spawn("quick", {"prompt": f"call {number}"}) for number in range(100)]
        assert [call.result(timeout=PATIENCE_SECONDS) for call in calls] == [f"call {number}" for number in range(100)]
        cluster.deploy("another")
        assert cluster.client.invoke("another", {"prompt": "hello"}).result == "hello"
    assert_well(cluster, (*WARM, "another"))
