"""What the interleaved steps know of the platform, and how they look at it."""

from __future__ import annotations

from typing import cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize
from redis import Redis

from quickthaw.types import Event, InvocationInfo
from quickthaw_platform.errors import InstanceLost
from quickthaw_platform.invocations.queues import Queues
from quickthaw_platform.invocations.records import Assignment
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.invocations.watch import Watch
from quickthaw_platform.settings import Settings
from tests.state import announce_node, make_limits, make_version

CONCURRENCY = 2
MAX_INSTANCES = 2
QUEUE_SIZE = 4
NODE_BYTES = 4
NEWCOMER_BYTES = 2
WEIGHTS = {"": 1.0, "k": 3.0, "l": 0.5}  # by API key
QUEUE = "qt:version.queue:v1"
FAR_SECONDS = 5000.0
LOST = InstanceLost("the process died")

EPOCHS = st.integers(0, 1)  # how far behind the current epoch the caller believes to be
PICKS = st.integers(0, 1000)  # which of the known things, modulo their number


class PlatformState(RuleBasedStateMachine):
    """The stores of a platform of one node and one function, and what was asked of them so far."""

    redis: Redis
    settings: Settings

    @initialize(ready=st.integers(0, MAX_INSTANCES))
    def set_up(self, ready: int) -> None:
        self.redis.flushall()
        announce_node(self.redis, memory_bytes=NODE_BYTES)
        self.version = make_version(
            concurrency=CONCURRENCY, max_instances=MAX_INSTANCES, queue_size=QUEUE_SIZE,
            limits=make_limits(start=1000, total=1000),
        )  # fmt: skip
        self.store = InvocationStore(self.redis, self.settings)
        self.slots, self.queues, self.watch = SlotStore(self.redis), Queues(self.redis), Watch(self.redis)
        self.other = make_version("v2", name="g", max_instances=100)
        self.ids: list[str] = []
        self.keys: dict[str, str] = {}
        self.instances: list[str] = []
        self.next_seq: dict[str, int] = {}
        self.ended: dict[str, InvocationInfo] = {}
        for _ in range(ready):
            self.reserve_instance()
            self.slots.ready(self.instances[-1])

    def reserve_instance(self) -> None:
        name = f"x{len(self.instances)}"
        serving = [view for view in self.slots.instances(version="v1") if view.state != "draining"]
        has_room = self.free_bytes() >= 1
        reserved = self.slots.reserve(self.version, "n1", name, 1)
        assert reserved == (len(serving) < MAX_INSTANCES and has_room)
        if reserved:
            self.instances.append(name)

    def take(self, assignments: list[Assignment] | list[Assignment | None]) -> None:
        """What got a slot is the one that arrived first of those of its key that waited."""
        for assignment in assignments:
            if assignment is None:
                continue
            key, given = self.keys[assignment.invocation], self.ids.index(assignment.invocation)
            behind = [self.ids.index(identity) for identity in self.members(QUEUE) if self.keys[identity] == key]
            assert given < min(behind, default=given + 1)
            assert assignment.next_seq == len(self.log(assignment.invocation)) + 2

    def free_bytes(self) -> int:
        return NODE_BYTES - sum(view.memory_bytes for view in self.slots.instances())

    def members(self, key: str) -> list[str]:
        return cast("list[str]", self.redis.zrange(key, 0, -1))

    def known(self, pick: int) -> str:
        return self.ids[pick % len(self.ids)]

    def instance(self, pick: int) -> str:
        return self.instances[pick % len(self.instances)]

    def log(self, identity: str) -> list[Event]:
        return self.store.read(identity, 0, 0)
