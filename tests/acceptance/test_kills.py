"""Every process is killed while it works: nothing hangs, nobody else notices, and what ended is on record."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import psutil
import pytest

from quickthaw import Client, Event, EventType, InvocationState
from tests.acceptance.cluster import Cluster, wait_for
from tests.patience import PATIENCE_SECONDS
from tests.process_facts import folder_of, living

TEXT = " ".join(f"word{i}" for i in range(16))
"""Five seconds of an echo at 50 ms a byte: it still runs when the kill comes."""

DEAD_NODE_SECONDS = 10.0


class Reader:
    """Reads a stream of `slow` in a thread of its own, as a client would."""

    def __init__(self, client: Client, text: str = TEXT) -> None:
        self.events: list[Event] = []
        self.error: Exception | None = None
        self.invocation = client.spawn("slow", {"prompt": text})
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for event in self.invocation.events():
                self.events.append(event)
        except Exception as error:  # noqa: BLE001 - kept for the test to look at
            self.error = error

    @property
    def text(self) -> str:
        """What has arrived so far."""
        return "".join(e.data["delta"]["text"] for e in self.events if e.type is EventType.CHUNK)

    def has_begun(self) -> bool:
        """Whether a first piece of text has arrived."""
        return bool(self.text)

    def wait(self) -> None:
        """Wait for the stream's end."""
        self._thread.join(60)
        assert not self._thread.is_alive(), "the stream hangs"
        assert self.error is None, self.error


@pytest.fixture
def reader(cluster: Cluster) -> Iterator[Reader]:
    """A stream in the middle of its text."""
    cluster.client.invoke("slow", {"prompt": "thaw"})
    reader = Reader(cluster.client)
    wait_for(reader.has_begun, "the first token")
    yield reader
    reader.invocation.cancel()


def processes(cluster: Cluster, role: str) -> list[psutil.Process]:
    """Return the live processes of a role (zygote, template, instance) below the worker."""
    return living(cluster.descendants("worker"), f"qt-{role}")


def instances_of(cluster: Cluster, function: str) -> list[psutil.Process]:
    """Return the processes of a function's instances: each runs in a folder below one called by its instance's id."""
    ids = {instance.id for instance in cluster.client.instances() if instance.function == function}
    folders = {process: folder_of(process) for process in processes(cluster, "instance")}
    return [process for process, folder in folders.items() if folder is not None and folder.parent.name in ids]


def assert_whole(reader: Reader) -> None:
    reader.wait()
    assert reader.text == TEXT
    logged = [event.seq for event in reader.events if event.seq]
    assert logged == list(range(1, len(logged) + 1))
    assert reader.invocation.status().state is InvocationState.SUCCEEDED


def test_a_killed_instance_costs_a_moment_and_no_text(cluster: Cluster, reader: Reader) -> None:
    other = cluster.client.spawn("echo", {"prompt": TEXT})
    for process in instances_of(cluster, "slow"):
        process.kill()
    assert_whole(reader)
    assert reader.invocation.status().epoch == 2
    assert other.result(timeout=PATIENCE_SECONDS) == TEXT
    assert cluster.client.invoke("slow", {"prompt": "again"}).result == "again"


@pytest.mark.parametrize("role", ["template", "zygote"])
def test_running_streams_outlive_a_killed_ancestor_and_the_next_start_works(
    cluster: Cluster, reader: Reader, role: str
) -> None:
    for process in processes(cluster, role):
        process.kill()
    assert_whole(reader)
    for instance in cluster.client.instances():
        cluster.client.stop_instance(instance.id)
    wait_for(lambda: not cluster.client.instances(), "the stop of all instances")
    assert cluster.client.invoke("slow", {"prompt": "again"}).result == "again"


def test_a_killed_worker_leaves_no_process_and_its_streams_go_on_at_the_next(cluster: Cluster, reader: Reader) -> None:
    below = cluster.descendants("worker")
    cluster.kill("worker")
    wait_for(lambda: reader.invocation.status().state is InvocationState.QUEUED, "the requeue", DEAD_NODE_SECONDS)
    gone, alive = psutil.wait_procs(below, timeout=PATIENCE_SECONDS)
    assert gone
    assert not alive
    wait_for(lambda: not cluster.client.nodes(), "the node's end", DEAD_NODE_SECONDS)
    waiting = cluster.client.spawn("slow", {"prompt": "again"})
    cluster.start("worker")
    assert_whole(reader)
    assert waiting.result(timeout=PATIENCE_SECONDS) == "again"


def test_a_killed_gateway_costs_the_client_a_reconnect_and_no_text(cluster: Cluster, reader: Reader) -> None:
    os.killpg(cluster.processes["gateway"].pid, signal.SIGKILL)
    cluster.processes["gateway"].wait()
    cluster.start("gateway")
    assert_whole(reader)


def test_a_killed_controller_and_beat_are_replaced(cluster: Cluster) -> None:
    for name in ("controller", "beat"):
        os.killpg(cluster.processes[name].pid, signal.SIGKILL)
        cluster.processes[name].wait()
        cluster.start(name)
    cluster.client.invoke("echo", {"prompt": "thaw"})
    sweeps = cluster.redis.hgetall("qt:controller.watch")
    wait_for(lambda: cluster.redis.hgetall("qt:controller.watch") != sweeps, "the next sweep", 60)


def test_redis_stopped_for_five_seconds_in_mid_stream_delays_and_loses_nothing(
    cluster: Cluster, reader: Reader
) -> None:
    cluster.valkey.stop()
    threading.Event().wait(5)
    cluster.valkey.start()
    assert_whole(reader)
    assert cluster.client.invoke("slow", {"prompt": "again"}).result == "again"


def test_sigterm_lets_running_streams_end_before_the_worker_goes(cluster: Cluster, reader: Reader) -> None:
    cluster.processes["worker"].send_signal(signal.SIGTERM)
    late = cluster.client.spawn("slow", {"prompt": "late"})
    assert_whole(reader)
    assert cluster.processes["worker"].wait(PATIENCE_SECONDS) == 0
    cluster.start("worker")
    assert late.result(timeout=PATIENCE_SECONDS) == "late"
