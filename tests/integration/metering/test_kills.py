"""What is metered is what the kernel saw, whatever is killed: worker, instance, Redis."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from quickthaw.resources import UsageRow
from quickthaw.types import Version
from quickthaw_platform.metering.usage.records import UsageRecord
from quickthaw_platform.metering.usage.rows import By
from quickthaw_platform.metering.usage.store import UsageStore
from tests.integration.worker.conftest import MakeNode
from tests.integration.worker.node_process import NodeProcess
from tests.integration.worker.worker_process import NODE, wait_for
from tests.valkey_process import ValkeyProcess

BEFORE_THE_FORK = {"starting/queue", "starting/tier", "starting/template", "starting/tokenizer", "starting/skeleton"}
SHARE = 0.01
QUICK = {"heartbeat": 0.1, "usage_period": 5.0}
SLOW_TOKENS = {"token_delay": "20ms", "first_token_delay": "100ms"}


def usage(node: NodeProcess, *by: By) -> list[UsageRow]:
    return UsageStore(node.redis, node.settings.usage_retention).rows(None, None, by)


def by_phase(node: NodeProcess) -> dict[str, float]:
    return {str(row.phase): row.seconds for row in usage(node, By.PHASE) if row.phase}


def after_the_fork(node: NodeProcess) -> float:
    return sum(seconds for phase, seconds in by_phase(node).items() if phase not in BEFORE_THE_FORK)


def expect_metered(node: NodeProcess, life: float, unnoticed: float = 0.0) -> None:
    """What is metered is the life of the process as the kernel saw it, and at most the making of its cage before.

    `unnoticed`: how long its node may have taken to see its end; on a busy machine a good part of a second.
    """
    making = by_phase(node)["starting/fork"]
    assert life * (1 - SHARE) <= after_the_fork(node) <= (life + making) * (1 + SHARE) + unnoticed


def killed(node: NodeProcess, process: psutil.Process) -> tuple[float, float]:
    """Kill an instance's process; return when it ended (seconds since boot), and how much later its usage was whole."""
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, "its end")
    ended = since_boot()
    wait_for(lambda: all(found.final for found in records(node)), "its last word")
    return ended, since_boot() - ended


def started_at(process: psutil.Process) -> float:
    """Return when the kernel started a process: seconds since boot, from field 22 of /proc/<pid>/stat."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def serve_for(node: NodeProcess, version: Version, until: float, key: str | None = None) -> int:
    """Call one after another until so many seconds since boot; returns how many calls."""
    calls = 0
    while since_boot() < until:
        node.call(version, {"prompt": "x" * 20}, key_id=key)
        calls += 1
        wait_for(lambda: since_boot() % 0.5 < 0.25, "a pause")  # idle for some of the time
    return calls


def expect(node: NodeProcess, what: str, calls: int) -> None:
    wait_for(lambda: sum(row.requests for row in usage(node)) == calls, f"{calls} requests being counted {what}")


@pytest.mark.slow
def test_a_killed_workers_instance_is_metered_up_to_the_last_heartbeat_and_not_again_by_its_successor(
    make_node: MakeNode,
) -> None:
    node = make_node(**QUICK)
    version = node.deploy("killed", options=SLOW_TOKENS)
    node.ready(version)
    began = started_at(node.instance_process(version))
    calls = serve_for(node, version, began + 20.5, key="k1")
    expect(node, "before the kill", calls)
    node.kill()
    last_seen = float(node.redis.hget(f"qt:node:{NODE}", "last_seen") or 0)
    life = last_seen + since_boot() - time.time() - began
    assert life >= 20
    expect_metered(node, life)
    before = usage(node, By.PHASE, By.KEY)
    node.start()
    wait_for(lambda: not node.slots.instances(node=NODE), "the end of the old records")
    other = node.deploy("after")
    node.ready(other)
    node.call(other)
    wait_for(lambda: sum(r.requests for r in usage(node, By.FUNCTION) if r.function == "after") == 1, "the next usage")
    again = UsageStore(node.redis, node.settings.usage_retention).rows(None, None, (By.PHASE, By.KEY), "killed")
    assert again == before


@pytest.mark.slow
def test_a_killed_instance_is_metered_from_its_fork_to_its_end_by_phase_and_key(make_node: MakeNode) -> None:
    node = make_node(**QUICK)
    version = node.deploy("victim", options=SLOW_TOKENS)
    instance = node.ready(version)
    reserved = float(node.redis.hget(f"qt:instance:{instance}", "created_at") or 0)
    process = node.instance_process(version)
    began = started_at(process)
    calls = serve_for(node, version, began + 6, key="k1") + serve_for(node, version, began + 12, key="k2")
    ended, unnoticed = killed(node, process)
    whole_life = time.time() - (since_boot() - ended) - reserved
    expect(node, "after the kill", calls)
    expect_metered(node, ended - began, unnoticed)
    phases = by_phase(node)
    assert whole_life * (1 - SHARE) <= sum(phases.values()) <= whole_life * (1 + SHARE) + unnoticed
    assert 0.07 * calls < phases["prefill"] < phases["decode"]  # a tenth of a second and two fifths, or busy for longer
    assert phases["decode"] > 0.3 * calls
    assert phases["idle"] > 0
    busy = Counter({row.key: row.seconds for row in usage(node, By.KEY)})
    assert set(busy) == {"", "k1", "k2"}
    assert sum(busy.values()) == pytest.approx(sum(phases.values()))
    assert busy["k1"] + busy["k2"] == pytest.approx(phases["prefill"] + phases["decode"])
    (row,) = usage(node, By.FUNCTION, By.VERSION, By.BACKEND, By.NODE, By.DEVICE)
    assert (row.function, row.version, row.backend) == ("victim", version.id, "serverless")
    assert (row.node, row.device, row.tokens_in, row.tokens_out) == (NODE, "cpu", 20 * calls, 21 * calls)  # and the end
    assert row.memory_byte_seconds >= row.seconds * node.settings.instance_memory


def records(node: NodeProcess) -> list[UsageRecord]:
    return list(UsageStore(node.redis, 1).records())


@pytest.mark.slow
def test_an_outage_of_redis_loses_and_doubles_nothing_while_the_agent_lives(
    make_node: MakeNode, own_valkey: ValkeyProcess
) -> None:
    node = make_node(heartbeat=0.1, usage_period=1.0)
    version = node.deploy("outlasts", options=SLOW_TOKENS)
    node.ready(version)
    process = node.instance_process(version)
    began = started_at(process)
    identity = node.invoke(version, {"prompt": "x" * 250})  # five seconds
    wait_for(lambda: node.chunks(identity), "the first output")
    own_valkey.kill()
    away_until = since_boot() + 2.5
    wait_for(lambda: since_boot() > away_until, "two periods")
    own_valkey.start()
    node.ended(identity)
    ended, unnoticed = killed(node, process)
    expect(node, "after the outage", 1)
    expect_metered(node, ended - began, unnoticed)
    starts = sorted(found.start for found in records(node))
    assert len(starts) == len(set(starts)) > 4
    (row,) = usage(node)
    assert (row.tokens_in, row.tokens_out) == (250, 251)
