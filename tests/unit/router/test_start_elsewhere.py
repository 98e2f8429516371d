"""An instance on another node for what is to move: beyond `max_instances`, and wherever the policy may not choose."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from quickthaw_platform.contracts import AllocationRequest, ClusterView, Decision, Refuse, Start, Wait
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.router.allocator import MAX_TRIES, Allocator
from quickthaw_platform.router.cluster import redis_allocator
from quickthaw_platform.router.policies.least_loaded import LeastLoadedPolicy
from quickthaw_platform.settings import Settings
from tests.recording import RecordingCommands
from tests.state import MEMORY_BYTES, announce_node, make_version, start_instance
from tests.valkey_process import ValkeyProcess

VERSION = make_version(memory=MEMORY_BYTES, concurrency=1, max_instances=1)


@pytest.fixture
def slots(redis: Redis) -> SlotStore:
    """Of the nodes n1, where the only instance that is allowed runs, n2 and n3."""
    for node in ("n1", "n2", "n3"):
        announce_node(redis, node)
    start_instance(redis, VERSION, "x1", "n1")
    return SlotStore(redis)


@pytest.fixture
def commands() -> RecordingCommands:
    return RecordingCommands()


@pytest.fixture
def allocator(redis: Redis, commands: RecordingCommands, platform_settings: Settings) -> Allocator:
    return redis_allocator(redis, LeastLoadedPolicy(), commands, platform_settings)


@pytest.mark.parametrize("node", ["n2", "n3"])
def test_one_starts_on_a_node_that_was_named_though_the_version_has_all_that_it_may(
    slots: SlotStore, allocator: Allocator, commands: RecordingCommands, node: str
) -> None:
    decision, instance = allocator.start_elsewhere(VERSION, {node})
    assert isinstance(decision, Start)
    view = slots.get(instance)
    assert view is not None
    assert (view.node, view.version) == (node, "v1")
    assert commands.sent == [("start", node, instance, "v1")]


def test_there_is_one_too_many_and_not_more(
    slots: SlotStore, allocator: Allocator, commands: RecordingCommands
) -> None:
    allocator.start_elsewhere(VERSION, {"n2"})
    commands.take()
    decision, instance = allocator.start_elsewhere(VERSION, {"n3"})
    assert instance == ""
    assert isinstance(decision, Wait)
    assert "it has 2 instances" in decision.reason
    assert commands.sent == []
    assert len(slots.instances()) == 2


def test_the_version_itself_may_not_start_more_than_before(slots: SlotStore, allocator: Allocator) -> None:
    allocator.start_elsewhere(VERSION, {"n2"})
    assert isinstance(allocator.allocate(VERSION, ahead=True), Wait)


@pytest.mark.parametrize(
    ("memory_bytes", "checkpoints"),
    [(MEMORY_BYTES // 2, '["c1"]'), (100 * MEMORY_BYTES, "[]")],
    ids=["no room there", "no weights there"],
)
def test_where_it_cannot_start_nothing_happens(
    redis: Redis, slots: SlotStore, allocator: Allocator, commands: RecordingCommands, memory_bytes: int,
    checkpoints: str,
) -> None:  # fmt: skip
    """Though another node, that was not named, could take it."""
    announce_node(redis, "n2", memory_bytes=memory_bytes, checkpoints=checkpoints)
    decision, instance = allocator.start_elsewhere(VERSION, {"n2"})
    assert isinstance(decision, Wait | Refuse)
    assert decision.reason
    assert (instance, commands.sent) == ("", [])
    assert len(slots.instances()) == 1


class Deaf:
    """A policy that chooses a node which is not there any more, so that each reservation comes too late."""

    def __init__(self) -> None:
        self.nodes: list[list[str]] = []

    def choose(self, request: AllocationRequest, view: ClusterView) -> Decision:
        assert request.ahead
        self.nodes.append([node.id for node in view.nodes])
        return Start("vanished")


def test_a_lost_race_is_decided_anew_and_not_for_ever(
    redis: Redis, slots: SlotStore, commands: RecordingCommands, platform_settings: Settings
) -> None:
    policy = Deaf()
    _, instance = redis_allocator(redis, policy, commands, platform_settings).start_elsewhere(VERSION, {"n2", "n3"})
    assert (instance, commands.sent) == ("", [])
    assert policy.nodes == [["n2", "n3"]] * MAX_TRIES


def test_many_at_once_start_one(
    valkey: ValkeyProcess, redis: Redis, slots: SlotStore, platform_settings: Settings
) -> None:
    def start(_: int) -> bool:
        with valkey.client() as client:
            own = redis_allocator(client, LeastLoadedPolicy(), RecordingCommands(), platform_settings)
            return bool(own.start_elsewhere(VERSION, {"n2", "n3"})[1])

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(start, range(16))) == 1
