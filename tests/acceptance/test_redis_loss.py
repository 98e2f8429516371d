"""Redis comes back without its last writes, as after a power cut: streams go on as if it had not, what had ended, ends.

A kill alone loses none (see test_chaos.py), so the end of its file is cut off here.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quickthaw import Invocation, InvocationState
from quickthaw_platform.invocations.log import inv_key
from quickthaw_platform.invocations.tails import log_key
from tests.acceptance.chaos import LOST_WRITES
from tests.acceptance.cluster import Cluster, wait_for
from tests.patience import PATIENCE_SECONDS

TEXT = " ".join(f"word{number}" for number in range(12))
BEGIN_OF_SCRIPT = b"*1\r\n$5\r\nMULTI\r\n"


def cut_off(folder: Path, key: str, script: int) -> None:
    """Cut the append-only file of a Valkey that is down before one of the scripts that wrote `key`."""
    file = max((folder / "appendonlydir").glob("*.incr.aof"), key=lambda found: found.stat().st_mtime)
    content = file.read_bytes()
    written = (found.start() for found in re.finditer(re.escape(key.encode()), content))
    begins = sorted({content.rfind(BEGIN_OF_SCRIPT, 0, at) for at in written})
    file.write_bytes(content[: begins[script]])


@contextmanager
def redis_loses(cluster: Cluster, call: Invocation, script: int) -> Iterator[None]:
    """Have Redis forget one of the scripts that wrote the call's log, and all since; the worker sleeps meanwhile."""
    worker = cluster.processes["worker"]
    worker.send_signal(signal.SIGSTOP)
    try:
        cluster.valkey.kill()
        cut_off(cluster.valkey.folder, log_key(call.id), script)
        cluster.valkey.start()
        yield
    finally:
        worker.send_signal(signal.SIGCONT)


@pytest.fixture
def call(cluster: Cluster) -> Invocation:
    """A call whose instance is warm."""
    cluster.client.invoke("slow", {"prompt": "thaw"})
    return cluster.client.spawn("slow", {"prompt": TEXT})


def assert_whole(call: Invocation) -> None:
    assert call.result(timeout=PATIENCE_SECONDS) == TEXT
    log = list(call.events())
    assert [event.seq for event in log] == list(range(1, len(log) + 1))
    assert call.status().epoch == 1


def test_outputs_that_redis_lost_are_written_again(cluster: Cluster, call: Invocation) -> None:
    wait_for(lambda: cluster.redis.xlen(log_key(call.id)) > 15, "some outputs")
    written = cluster.redis.xlen(log_key(call.id))
    with redis_loses(cluster, call, script=-6):
        assert 2 < cluster.redis.xlen(log_key(call.id)) < written
    assert_whole(call)
    assert LOST_WRITES in (cluster.data_dir / "worker.log").read_text()


def test_a_call_that_redis_does_not_know_to_have_begun_is_begun_anew(cluster: Cluster, call: Invocation) -> None:
    wait_for(lambda: cluster.redis.xlen(log_key(call.id)) > 5, "some outputs")
    with redis_loses(cluster, call, script=1):  # after its assignment, before `begin`
        assert cluster.redis.hget(inv_key(call.id), "state") == InvocationState.ASSIGNED
    assert_whole(call)


def test_an_end_that_redis_lost_is_written_again(cluster: Cluster, call: Invocation) -> None:
    assert_whole(call)
    with redis_loses(cluster, call, script=-1):
        assert cluster.redis.hget(inv_key(call.id), "state") == InvocationState.RUNNING
    wait_for(lambda: call.status().state is InvocationState.SUCCEEDED, "the end")
    assert_whole(call)
    assert not cluster.redis.keys("qt:instance.leases:*")
