"""Requests, tokens and bytes of weights: each counts once, for whoever ended it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from quickthaw.resources import UsageRow
from quickthaw.types import InvocationState
from quickthaw_platform.checkpoints.manifest import Manifest, weights_paths
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.metering.usage.rows import By
from quickthaw_platform.metering.usage.store import UsageStore
from tests.integration.worker.node_process import NodeProcess
from tests.integration.worker.worker_process import NODE, wait_for
from tests.unit.checkpoints.reading.files import make_cold
from tests.valkey_process import ValkeyProcess

SLOW = {"token_delay": "20ms"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A worker that writes its usage often."""
    folder = tmp_path_factory.mktemp("node")
    valkey = ValkeyProcess(folder)
    valkey.start()
    worker = NodeProcess(valkey.url, folder / "data", heartbeat=0.1)
    (checkpoint,) = DiskStore(worker.settings.checkpoints_dir).list()
    make_cold(weights_paths(checkpoint))
    try:
        worker.start()
        yield worker
    finally:
        worker.stop()
        worker.redis.close()
        valkey.stop()


def used(node: NodeProcess, function: str, *by: By) -> list[UsageRow]:
    return UsageStore(node.redis, 86_400.0).rows(None, None, by, function)


def counted(node: NodeProcess, function: str, requests: int) -> UsageRow:
    """Wait until so many requests have been counted."""

    def look() -> UsageRow | None:
        rows = used(node, function)
        return rows[0] if rows and rows[0].requests == requests else None

    return wait_for(look, f"{requests} requests of {function} being counted")


def test_a_call_that_goes_on_after_a_loss_counts_once_with_all_its_tokens(node: NodeProcess) -> None:
    version = node.deploy("resumed", options=SLOW)
    node.ready(version)
    identity = node.invoke(version, {"prompt": "x" * 60}, key_id="k1")
    wait_for(lambda: len(node.chunks(identity)) > 10, "some outputs")
    node.instance_process(version).kill()
    wait_for(lambda: node.store.get(identity).state == InvocationState.QUEUED, "the requeue")
    wait_for(lambda: not node.slots.instances(version=version.id), "the end of the dead instance's record")
    node.start_instance(version)
    assert node.ended(identity).result == "x" * 60
    row = counted(node, "resumed", 1)
    assert (row.tokens_in, row.tokens_out) == (60, 61)
    busy = [r for r in used(node, "resumed", By.KEY, By.PHASE) if r.phase == "decode"]
    assert [r.key for r in busy] == ["k1"]
    assert busy[0].seconds > 1.0  # on both instances together


def test_a_cancelled_call_counts_with_what_was_heard_of_it(node: NodeProcess) -> None:
    version = node.deploy("cancelled", options=SLOW)
    node.ready(version)
    identity = node.invoke(version, {"prompt": "x" * 200})
    wait_for(lambda: len(node.chunks(identity)) > 10, "some outputs")
    node.store.cancel(identity, "enough")
    node.commands.cancel(NODE, identity)
    row = counted(node, "cancelled", 1)
    assert row.tokens_in == 200
    assert 10 < row.tokens_out < 200


def test_a_failed_call_counts(node: NodeProcess) -> None:
    version = node.deploy("failing", "def handle(model):\n    raise ValueError('no')\n")
    assert node.call(version, {}).state == InvocationState.FAILED
    assert counted(node, "failing", 1).tokens_out == 0


def test_a_start_counts_the_bytes_it_had_read_and_the_next_one_finds_them_in_memory(node: NodeProcess) -> None:
    (checkpoint,) = DiskStore(node.settings.checkpoints_dir).list()
    size = Manifest.of(checkpoint).weights_bytes
    version = node.deploy("fetching", max_instances=2)
    node.ready(version)
    node.ready(version)
    whole = UsageStore(node.redis, 86_400.0).rows(None, None, ())[0]
    assert whole.fetched_bytes == {"disk": size}  # by the module's first start; all others found it in memory
    assert whole.memory_byte_seconds == pytest.approx(whole.seconds * (node.settings.instance_memory + size))


def test_a_start_that_fails_is_metered_until_its_process_has_gone(node: NodeProcess) -> None:
    version = node.deploy("broken", "def handle(model): ...\nraise RuntimeError('not importable')\n")
    assert node.call(version, {}).state == InvocationState.FAILED
    wait_for(lambda: {r.phase for r in used(node, "broken", By.PHASE) if r.seconds} >= {"starting/fork"}, "its record")
    redis: Redis = node.redis
    assert redis.zcard("qt:usage.hours") >= 1
    assert sum(r.seconds for r in used(node, "broken")) > 0
