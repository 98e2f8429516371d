"""Instances and the leases on their slots: what is in use is the number of leases, never a counter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from redis import Redis

from quickthaw.types import Version
from quickthaw_platform.contracts import InstanceState, InstanceView, Way
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.invocations.records import Lease
from quickthaw_platform.invocations.scripts import Scripts
from quickthaw_platform.redis_keys import RedisKey

INSTANCES_KEY = RedisKey.INSTANCES
_STATES, _WAYS = frozenset(InstanceState), frozenset(Way)
"""What another release knows besides is told as an instance that is leased no more, and as no way."""

FAILURE_SECONDS = 86_400
"""How long the reason of a failed start is told."""


class SlotStore:
    """The records of all instances. Every method is one atomic step and may be repeated."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)

    def reserve(
        self,
        version: Version,
        node: str,
        instance: str,
        memory_bytes: int,
        *,
        serving: int | None = None,
        checkpoint: str = "",
        checkpoint_bytes: int = 0,
        way: str = "",
        load_seconds: float = 0,
        estimate_seconds: float | None = None,
        retire: Sequence[str] = (),
    ) -> bool:
        """Make the record of an instance that is to start on `node`; `checkpoint` is the version's unless given.

        `retire` names idle instances of that node that make room: they drain, and the new record's `after` names
        them, for their processes must be gone before the newcomer takes their memory.

        False, and nothing changes, when the node is unknown, drains or lacks the memory, when the version has its
        max_instances, when not `serving` of them (see router.view.count_serving) are there, as the caller believed
        when it decided, or when one of `retire` is not idle (any more), or is of a version that something waits for.
        """
        spec = version.spec
        fields: dict[str, str | int | float] = {
            "function": version.function,
            "concurrency": spec.concurrency,
            "min_instances": spec.min_instances,
            "dedicated": int(spec.replicas is not None),
            "weight": spec.weight,
            "checkpoint": checkpoint or version.checkpoint,
            "checkpoint_bytes": checkpoint_bytes,
            "way": way,
            "load_seconds": load_seconds,
            "estimate_seconds": "" if estimate_seconds is None else estimate_seconds,
        }
        answer = self._scripts.run(
            "reserve", instance, version.id, node, spec.max_instances, memory_bytes,
            "" if serving is None else serving, ",".join(dict.fromkeys(retire)),
            *(part for pair in fields.items() for part in pair),
        )  # fmt: skip
        return bool(answer)

    def loaded(self, instance: str) -> bool:
        """Let the instance take what waits. False: it was forgotten or drains, and must end."""
        return self._advance(instance, InstanceState.LOADED)

    def ready(self, instance: str) -> bool:
        """Let newcomers lease the instance's slots too. False: it was forgotten or drains, and must end."""
        return self._advance(instance, InstanceState.READY)

    def drain(self, instance: str, room_for: str = "") -> bool:
        """Lease the instance's slots no more; what runs goes on. False: there is no such instance.

        `room_for`: a version that waits; the room is kept for it when the instance has gone, some seconds long.
        """
        return self._advance(instance, InstanceState.DRAINING, room_for)

    def retire(self, instance: str, keep: int = 0) -> bool:
        """Drain a ready instance that holds no lease and that nothing waits for; True: it may be stopped now.

        `keep` is how many loaded or ready instances of its version must be left.
        """
        return bool(self._scripts.run("retire", instance, keep))

    def remove(self, instance: str) -> list[Lease]:
        """Forget the instance; returns the leases it held, for the caller to settle (InvocationStore.lose)."""
        return _leases(self._scripts.run("remove", instance))

    def note_failure(self, version: str, reason: str) -> None:
        """Note why the version's last start failed; forgotten when an instance of it has started, and after a day."""
        with outage_is_unavailable():
            self._redis.set(_failure_key(version), reason, ex=FAILURE_SECONDS)

    def failures(self, versions: Sequence[str]) -> dict[str, str]:
        """Return why the last start failed of those of the versions where it did."""
        if not versions:
            return {}
        with outage_is_unavailable():
            found = cast("list[str | None]", self._redis.mget([_failure_key(version) for version in versions]))
        return {version: reason for version, reason in zip(versions, found, strict=True) if reason is not None}

    def leases(self, instance: str) -> list[Lease]:
        """Return the leases that the instance holds."""
        with outage_is_unavailable():
            held = cast("dict[str, str]", self._redis.hgetall(RedisKey.INSTANCE_LEASES.of(instance)))
        return [Lease(invocation, int(epoch)) for invocation, epoch in held.items()]

    def remind(self, instance: str, seconds: float) -> bool:
        """Whether the node was last told `seconds` ago or more what to do with the instance; notes that it is now."""
        return bool(self._scripts.run("remind", instance, seconds))

    def get(self, instance: str) -> InstanceView | None:
        """Return the instance; None when there is none."""
        return next((view for view in self.instances() if view.id == instance), None)

    def instances(self, *, version: str | None = None, node: str | None = None) -> list[InstanceView]:
        """Return the instances of a version, of a node, or all, by id."""
        key: str = INSTANCES_KEY
        if version is not None:
            key = RedisKey.VERSION_INSTANCES.of(version)
        elif node is not None:
            key = RedisKey.NODE_INSTANCES.of(node)
        rows, *_ = self._scripts.run("view", key, 0)
        return parse_instances(rows)

    def _advance(self, instance: str, state: InstanceState, room_for: str = "") -> bool:
        return bool(self._scripts.run("advance", instance, state.value, room_for))


def parse_instances(rows: Sequence[Sequence[Any]]) -> list[InstanceView]:
    """Read the instances that `view.lua` answers."""
    return sorted((_instance(row) for row in rows), key=lambda view: view.id)


def _instance(row: Sequence[Any]) -> InstanceView:
    identity, function, version, node, state, concurrency, memory_bytes, checkpoint, way, *rest = row
    in_use, idle_seconds, load_seconds, start_seconds, checkpoint_bytes, min_instances, dedicated = rest
    return InstanceView(
        id=identity,
        function=function,
        version=version,
        node=node,
        state=InstanceState(state) if state in _STATES else InstanceState.DRAINING,
        concurrency=int(concurrency),
        in_use=int(in_use),
        memory_bytes=int(memory_bytes),
        idle_seconds=float(idle_seconds),
        checkpoint=checkpoint or "",
        checkpoint_bytes=int(checkpoint_bytes or 0),
        way=Way(way) if way in _WAYS else None,
        load_seconds=float(load_seconds),
        start_seconds=float(start_seconds),
        min_instances=int(min_instances or 0),
        dedicated=dedicated == "1",
    )


def _failure_key(version: str) -> str:
    return RedisKey.VERSION_FAILURE.of(version)


def _leases(flat: Sequence[str]) -> list[Lease]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return [Lease(invocation, int(epoch)) for invocation, epoch in pairs]
