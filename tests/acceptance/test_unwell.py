"""A Redis that says that it cannot serve now is an outage: streams pause, callers hear so, and nobody dies of it."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx
import psutil
import pytest
from redis.exceptions import RedisError

from tests.acceptance.cluster import Cluster, wait_for
from tests.acceptance.small_disks import WARM, SmallDisks, fill
from tests.patience import PATIENCE_SECONDS
from tests.process_facts import folder_of, living

TEXT = "word " * 45
"""Said in seven seconds, which a fault is not over before."""

FAULT_SECONDS = 4.0
"""Longer than heartbeat_ttl, by which a node that does not write is dead."""

WELL_SECONDS = 10.0


@pytest.fixture(scope="module")
def cluster(small_disks: SmallDisks) -> SmallDisks:
    """A platform whose Valkey writes to a small disk of its own, where that can be made, with two warm functions."""
    small_disks.deploy_warm()
    return small_disks


@contextmanager
def setting(cluster: Cluster, name: str, value: str) -> Iterator[None]:
    """Have Redis refuse changes by a setting."""
    cluster.redis.config_set(name, value)
    try:
        yield
    finally:
        cluster.redis.config_set(name, "0")


@contextmanager
def replica(cluster: Cluster) -> Iterator[None]:
    """Make Redis the replica of a primary that is not there."""
    cluster.redis.replicaof("127.0.0.1", "1")
    try:
        yield
    finally:
        cluster.redis.replicaof("NO", "ONE")


@contextmanager
def endless_script(cluster: Cluster) -> Iterator[None]:
    """Keep Redis busy with somebody's script."""
    cluster.redis.config_set("busy-reply-threshold", "50")
    with cluster.valkey.client() as other:

        def run() -> None:
            with contextlib.suppress(RedisError):
                other.eval("while true do end", 0)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            cluster.redis.script_kill()
            thread.join(WELL_SECONDS)
    cluster.redis.config_set("busy-reply-threshold", "5000")


Fault = Callable[[Cluster], AbstractContextManager[None]]
FAULTS: dict[str, Fault] = {
    "NOREPLICAS": lambda cluster: setting(cluster, "min-replicas-to-write", "1"),
    "OOM": lambda cluster: setting(cluster, "maxmemory", "1"),
    "READONLY": replica,
    "BUSY": endless_script,
    "MISCONF": lambda cluster: fill(cluster.valkey.folder),
}


@pytest.fixture(params=list(FAULTS))
def fault(request: pytest.FixtureRequest, cluster: SmallDisks) -> tuple[str, Fault]:
    """What Redis answers, and what makes it do so."""
    code: str = request.param
    if code == "MISCONF":
        cluster.need_disks()
    return code, FAULTS[code]


def post(cluster: Cluster, function: str, prompt: str = "hello") -> httpx.Response:
    """Call a function once, without the SDK's patience."""
    headers = {"Authorization": f"Bearer {cluster.api_key}"}
    body = {"input": {"prompt": prompt}}
    return httpx.post(f"{cluster.url}/v1/functions/{function}/invoke", json=body, headers=headers, timeout=30)


def says(answer: httpx.Response, code: str) -> bool:
    """Whether an answer is the one of an outage, with Redis' word for it.

    A gateway that has looked at Redis's memory just then does not ask Redis: it says that the store is full.
    """
    if answer.status_code != 503:
        return False
    error: dict[str, Any] = answer.json()["error"]
    if code == "OOM" and error["code"] == "store_full":
        return True
    return error["code"] == "unavailable" and code in error["message"] and answer.headers["Retry-After"] == "1"


def not_ready(cluster: Cluster, code: str) -> bool:
    """Whether the gateway answers that it is not ready, and why."""
    try:
        return says(httpx.get(f"{cluster.url}/readyz", timeout=30), code)
    except httpx.TransportError:  # it is only about to start
        return False


def assert_unwell(cluster: Cluster, code: str) -> None:
    """The platform says so, to whoever asks and whoever calls."""
    wait_for(lambda: not_ready(cluster, code), "the end of readiness", 30)
    answer = post(cluster, "quick")
    assert says(answer, code), answer.text
    assert httpx.get(f"{cluster.url}/healthz", timeout=PATIENCE_SECONDS).is_success


def assert_well(cluster: Cluster, functions: Sequence[str] = WARM) -> None:
    """Within ten seconds all is as if nothing had been: every function answers, and nothing is left behind."""
    deadline = time.monotonic() + WELL_SECONDS
    wait_for(
        lambda: httpx.get(f"{cluster.url}/readyz?nodes=1", timeout=PATIENCE_SECONDS).is_success,
        "readiness",
        WELL_SECONDS,
    )
    for name in functions:
        answer = wait_for(lambda name=name: answered(cluster, name), f"an answer of {name}", WELL_SECONDS)  # type: ignore[misc]
        assert answer == "hello"
    wait_for(lambda: not cluster.redis.keys("qt:instance.leases:*"), "the end of all leases", WELL_SECONDS)
    wait_for(lambda: not ghosts(cluster), "the end of all ghosts", WELL_SECONDS)
    assert time.monotonic() < deadline
    for name, process in cluster.processes.items():
        assert process.poll() is None, f"{name} ended"


def answered(cluster: Cluster, function: str) -> str:
    """Return what a function answers; '' while the platform asks to wait, and nothing else is taken."""
    answer = post(cluster, function)
    assert answer.status_code in (200, 503), answer.text
    return str(answer.json()["result"]) if answer.is_success else ""


def ghosts(cluster: Cluster) -> set[str]:
    """Return the ready instances in Redis that no process of the worker is."""
    folders = map(folder_of, living(cluster.descendants("worker"), "qt-instance"))
    run = {folder.parent.name for folder in folders if folder is not None}
    return {instance.id for instance in cluster.client.instances() if instance.state == "ready"} - run


def test_a_refusal_pauses_streams_and_is_told_to_callers_and_nobody_dies(
    cluster: Cluster, fault: tuple[str, Fault]
) -> None:
    code, begin = fault
    stream = cluster.client.spawn("streams", {"prompt": TEXT})
    wait_for(lambda: stream.status().first_output_at, "the first output")
    with begin(cluster):
        assert_unwell(cluster, code)
        time.sleep(FAULT_SECONDS)  # the fault itself: nothing tells when it has been long enough
    assert_well(cluster)
    assert stream.result(timeout=PATIENCE_SECONDS) == TEXT
    assert stream.status().epoch == 1
    seqs = [event.seq for event in stream.events()]
    assert seqs == list(range(1, len(seqs) + 1))


def test_processes_that_are_started_while_redis_refuses_serve_once_it_does_not(cluster: Cluster) -> None:
    with FAULTS["NOREPLICAS"](cluster):
        for name in ("worker", "controller", "beat", "gateway"):
            start_anew(cluster, name)
        assert_unwell(cluster, "NOREPLICAS")
        wait_for(lambda: _has_agent(cluster), "the worker's return", 60)
    assert_well(cluster)


def start_anew(cluster: Cluster, name: str) -> None:
    """Kill a process and start another when those below it are gone: those of the gateway serve on for a moment."""
    below = cluster.descendants(name)
    cluster.kill(name)
    psutil.wait_procs(below, timeout=PATIENCE_SECONDS)
    cluster.start(name)


def _has_agent(cluster: Cluster) -> bool:
    return bool(living(cluster.descendants("worker"), "qt-zygote"))


def test_a_worker_that_comes_back_before_it_was_missed_gives_up_what_it_does_not_have(cluster: Cluster) -> None:
    call = cluster.client.spawn("streams", {"prompt": TEXT})
    wait_for(lambda: call.status().first_output_at, "the first output")
    cluster.processes["controller"].send_signal(signal.SIGSTOP)  # nobody misses the worker
    try:
        cluster.kill("worker")
        cluster.start("worker")
        wait_for(lambda: not ghosts(cluster), "the end of all ghosts", 60)
    finally:
        cluster.processes["controller"].send_signal(signal.SIGCONT)
    assert call.result(timeout=PATIENCE_SECONDS) == TEXT
    assert_well(cluster)
