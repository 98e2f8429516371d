"""The cluster's state in Redis, as the allocator uses it, and the allocator on it."""

from __future__ import annotations

from redis import Redis

from quickthaw.types import Version
from quickthaw_platform.contracts import AllocationPolicy, ClusterView, Start
from quickthaw_platform.errors import CheckpointNotFound, NoCapacity
from quickthaw_platform.invocations.queues import Queues
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.router.allocator import Allocator, NodeOrders
from quickthaw_platform.router.decisions import DecisionLog
from quickthaw_platform.router.view import read_view
from quickthaw_platform.settings import Settings


class RedisCluster:
    """Implements `allocator.Cluster`. Every method raises Unavailable when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._slots = SlotStore(redis)
        self._queues = Queues(redis)
        self.drain = self._slots.drain
        self.explain = self._queues.explain

    def view(self, function: str | None = None) -> ClusterView:
        """Return the cluster, read in one round trip."""
        return read_view(self._redis, function)

    def reserve(
        self, version: Version, start: Start, instance: str, memory_bytes: int, checkpoint_bytes: int, serving: int
    ) -> bool:
        """Make the record of an instance that is to start; False where the decision is out of date."""
        return self._slots.reserve(
            version,
            start.node,
            instance,
            memory_bytes,
            serving=serving,
            checkpoint_bytes=checkpoint_bytes,
            way="" if start.way is None else start.way.value,
            load_seconds=start.load_seconds,
            estimate_seconds=start.estimate_seconds,
            retire=start.retire,
        )

    def fail_waiting(self, version: str, reason: str) -> list[str]:
        """Fail all that waits for the version with NoCapacity."""
        return self._queues.fail_waiting(version, NoCapacity(reason))


class CheckpointSizes:
    """How many bytes of weights each checkpoint has, read from the catalogue once: checkpoints never change."""

    def __init__(self, redis: Redis) -> None:
        self._catalogue = Catalogue(redis)
        self._known: dict[str, int] = {}

    def __call__(self, checkpoint: str) -> int:
        """Return a checkpoint's size; 0 for one that no node has announced."""
        if checkpoint not in self._known:
            try:
                self._known[checkpoint] = self._catalogue.find(checkpoint).bytes
            except CheckpointNotFound:
                return 0
        return self._known[checkpoint]


def redis_allocator(redis: Redis, policy: AllocationPolicy, orders: NodeOrders, settings: Settings) -> Allocator:
    """Return an allocator on the cluster's state in Redis."""
    return Allocator(
        RedisCluster(redis),
        policy,
        orders,
        instance_memory=settings.instance_memory,
        checkpoint_bytes=CheckpointSizes(redis),
        notes=DecisionLog(redis),
    )
