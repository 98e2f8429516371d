"""Versions, nodes and instances for tests of what stands in Redis."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any, cast

from redis import Redis

from quickthaw.types import FunctionSpec, Limits, Version
from quickthaw_platform.errors import InstanceLost
from quickthaw_platform.invocations.records import Lost, NewInvocation
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore

MEMORY_BYTES = 1 << 20
_numbers = itertools.count(1)


def make_version(identity: str = "v1", *, checkpoint: str = "c1", **spec: Any) -> Version:
    """Return a version of the function `f` (or `name`)."""
    full = FunctionSpec(**{"name": "f", "model": "m", **spec})
    return Version(id=identity, function=full.name, number=1, checkpoint=checkpoint, created_at=1.0, spec=full)


def make_invocation(version: Version, identity: str | None = None, **fields: Any) -> NewInvocation:
    """Return a call of `version`."""
    request: Mapping[str, Any] = fields.pop("request", {"input": {"prompt": "hi"}, "sampling": {}, "seed": 7})
    return NewInvocation(identity or f"i{next(_numbers)}", version, request, **fields)


def lose(store: InvocationStore, identity: str, epoch: int, reason: str = "lost") -> Lost:
    """Settle a call whose instance is gone."""
    return store.lose(identity, epoch, reason, InstanceLost(reason))


def make_limits(**limits: float) -> Limits:
    """Return limits; those not given are generous."""
    return Limits(**{"start": 1000.0, "first_token": 1000.0, "between_tokens": 1000.0, "total": 1000.0, **limits})


def announce_node(redis: Redis, node: str = "n1", *, memory_bytes: int = 100 * MEMORY_BYTES, **fields: str) -> None:
    """Write the record that a node's agent writes, as of now by Redis' clock."""
    seconds, micros = redis.time()
    record = {
        "state": "ready",
        "device": "cpu",
        "memory_bytes": str(memory_bytes),
        "checkpoints": '["c1"]',
        "templates": "[]",
        "last_seen": f"{seconds + micros / 1e6:.6f}",
    }
    redis.hset(f"qt:node:{node}", mapping=cast("Any", record | fields))
    redis.sadd("qt:nodes", node)


def start_instance(redis: Redis, version: Version, instance: str = "x1", node: str = "n1", state: str = "ready") -> str:
    """Bring an instance up to `state` (starting, loaded or ready) on an announced node."""
    slots = SlotStore(redis)
    assert slots.reserve(version, node, instance, MEMORY_BYTES)
    if state in ("loaded", "ready"):
        assert slots.loaded(instance)
    if state == "ready":
        assert slots.ready(instance)
    return instance


def take_calls(redis: Redis, node: str = "n1") -> list[tuple[str, str, str]]:
    """Return invocation, epoch and instance of each call that the node was told of, and forget them."""
    calls = cast("list[str]", redis.lpop(f"qt:node.calls:{node}", 1000) or [])
    return [cast("tuple[str, str, str]", tuple(json.loads(call))) for call in calls]


def rewind(redis: Redis, key: str, member: str, seconds: float) -> None:
    """Move a member of a zset of times into the past, instead of sleeping."""
    redis.zincrby(key, -seconds, member)
