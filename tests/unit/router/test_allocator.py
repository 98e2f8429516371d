from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from quickthaw.resources import CheckpointInfo
from quickthaw.types import InvocationState
from quickthaw_platform.contracts import AllocationRequest, ClusterView, Decision, NodeState, Refuse, Start, Wait
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.router.allocator import MAX_TRIES, Allocator
from quickthaw_platform.router.cluster import redis_allocator
from quickthaw_platform.router.policies.least_loaded import LeastLoadedPolicy
from quickthaw_platform.router.view import read_view
from quickthaw_platform.settings import Settings
from tests.recording import RecordingCommands
from tests.state import MEMORY_BYTES, announce_node, make_invocation, make_version, start_instance
from tests.valkey_process import ValkeyProcess

VERSION = make_version(memory=MEMORY_BYTES, concurrency=1, max_instances=2)


class Stubborn:
    """A policy that chooses the same node again and again."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.asked = 0

    def choose(self, request: AllocationRequest, view: ClusterView) -> Decision:
        self.asked += 1
        return Start(self.node)


@pytest.fixture
def slots(redis: Redis) -> SlotStore:
    return SlotStore(redis)


@pytest.fixture
def commands() -> RecordingCommands:
    return RecordingCommands()


@pytest.fixture
def store(redis: Redis, platform_settings: Settings) -> InvocationStore:
    return InvocationStore(redis, platform_settings)


@pytest.fixture
def allocator(redis: Redis, slots: SlotStore, commands: RecordingCommands, platform_settings: Settings) -> Allocator:
    return redis_allocator(redis, LeastLoadedPolicy(), commands, platform_settings)


def test_it_reserves_and_tells_the_node_and_who_waits(
    redis: Redis, allocator: Allocator, slots: SlotStore, store: InvocationStore, commands: RecordingCommands
) -> None:
    announce_node(redis)
    store.admit(make_invocation(VERSION, "a"))
    decision = allocator.allocate(VERSION)
    assert isinstance(decision, Start)
    assert decision.node == "n1"
    [view] = slots.instances()
    assert (view.version, view.node, view.memory_bytes) == ("v1", "n1", MEMORY_BYTES)
    assert commands.sent == [("start", "n1", view.id, "v1")]
    assert store.get("a").reason == "an instance is starting on node n1"


def test_an_instance_s_own_copy_of_its_adapter_is_reserved_too(
    redis: Redis, allocator: Allocator, slots: SlotStore, store: InvocationStore
) -> None:
    announce_node(redis)
    Catalogue(redis).announce([CheckpointInfo(id="a1", name="lora", task="adapter", bytes=1000, context_tokens=0)])
    version = VERSION.model_copy(update={"adapter_checkpoint": "a1"})
    store.admit(make_invocation(version, "a"))
    assert isinstance(allocator.allocate(version), Start)
    assert [view.memory_bytes for view in slots.instances()] == [MEMORY_BYTES + 1000]


def test_once_enough_is_starting_it_waits(redis: Redis, allocator: Allocator, store: InvocationStore) -> None:
    announce_node(redis)
    store.admit(make_invocation(VERSION, "a"))
    allocator.allocate(VERSION)
    assert isinstance(allocator.allocate(VERSION), Wait)


def test_a_reason_to_wait_is_shown(allocator: Allocator, store: InvocationStore) -> None:
    store.admit(make_invocation(VERSION, "a"))
    assert isinstance(allocator.allocate(VERSION), Wait)
    assert "no worker is running" in (store.get("a").reason or "")


def test_a_refusal_ends_what_waits_with_its_reason(redis: Redis, allocator: Allocator, store: InvocationStore) -> None:
    announce_node(redis, checkpoints="[]")
    store.admit(make_invocation(VERSION, "a"))
    decision = allocator.allocate(VERSION)
    assert isinstance(decision, Refuse)
    info = store.get("a")
    assert info.state is InvocationState.FAILED
    assert info.error is not None
    assert (info.error["code"], info.error["message"]) == ("no_capacity", decision.reason)


def test_ahead_of_demand_it_starts_one_though_slots_are_free(redis: Redis, allocator: Allocator) -> None:
    announce_node(redis)
    start_instance(redis, VERSION)
    assert isinstance(allocator.allocate(VERSION), Wait)
    assert isinstance(allocator.allocate(VERSION, ahead=True), Start)
    assert isinstance(allocator.allocate(VERSION, ahead=True), Wait)  # max_instances


def test_a_lost_race_is_decided_anew_and_not_for_ever(
    redis: Redis, slots: SlotStore, commands: RecordingCommands, platform_settings: Settings
) -> None:
    policy = Stubborn("vanished")
    allocator = redis_allocator(redis, policy, commands, platform_settings)
    assert isinstance(allocator.allocate(VERSION), Wait)
    assert policy.asked == MAX_TRIES
    assert commands.sent == []


def test_many_at_once_start_no_more_than_is_of_use(
    valkey: ValkeyProcess, redis: Redis, store: InvocationStore, platform_settings: Settings
) -> None:
    version = make_version(memory=1, concurrency=4, max_instances=50)
    announce_node(redis)
    for _ in range(8):
        store.admit(make_invocation(version))

    def allocate(_: int) -> int:
        with valkey.client() as client:
            own = redis_allocator(client, LeastLoadedPolicy(), RecordingCommands(), platform_settings)
            return sum(isinstance(own.allocate(version), Start) for _ in range(10))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(allocate, range(8))) == 2  # eight slots


def test_the_view_shows_what_stands_in_redis(redis: Redis, store: InvocationStore) -> None:
    announce_node(redis, "n1", memory_bytes=10 * MEMORY_BYTES, checkpoints='["c1", "c2"]', templates='["c2"]')
    announce_node(redis, "n2", state="draining", device="cuda:0")
    start_instance(redis, VERSION)
    for identity in ("a", "b", "c"):
        store.admit(make_invocation(VERSION, identity))
    view = read_view(redis)
    first, second = view.nodes
    assert (first.id, first.state, first.device) == ("n1", NodeState.READY, "cpu")
    assert (first.memory_bytes, first.memory_free_bytes) == (10 * MEMORY_BYTES, 9 * MEMORY_BYTES)
    assert first.checkpoints == {"c1", "c2"}
    assert first.templates == {"c2"}
    assert (second.state, second.device) == (NodeState.DRAINING, "cuda:0")
    assert [(i.id, i.in_use) for i in view.instances] == [("x1", 1)]
    assert view.waiting == {"v1": 2}
