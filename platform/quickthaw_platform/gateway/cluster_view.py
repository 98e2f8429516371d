"""Nodes and instances as they are shown: the router's view, with the dates that only people need."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypedDict, TypeVar, cast

from redis import Redis

from quickthaw.resources import InstanceInfo, NodeInfo
from quickthaw.types import Network
from quickthaw_platform.errors import VersionNotFound
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.registry.functions import FunctionRegistry
from quickthaw_platform.router.view import read_view
from quickthaw_platform.stored_records import RecordUnreadable

Value = TypeVar("Value")
Otherwise = TypeVar("Otherwise")


class _Reach(TypedDict):
    """What an instance reaches by network, as InstanceInfo has it."""

    network: Network
    egress: tuple[str, ...]


def node_infos(redis: Redis) -> list[NodeInfo]:
    """Return every node, by id."""
    view = read_view(redis)
    rows = _fields(
        redis,
        (RedisKey.NODE.of(node.id) for node in view.nodes),
        *("last_seen", "started_at", "pid", "not_stronger", "control_groups", "not_bounded", "network"),
    )
    instances = Counter(instance.node for instance in view.instances)
    return [
        NodeInfo(
            id=node.id,
            state=node.state.value,
            device=node.device,
            memory_bytes=node.memory_bytes,
            memory_free_bytes=node.memory_free_bytes,
            checkpoints=tuple(sorted(node.checkpoints)),
            templates=tuple(sorted(node.templates)),
            primed=tuple(sorted(node.primed)),
            asleep=tuple(sorted(node.asleep)),
            labels=dict(node.labels),
            isolation=node.isolation.value,
            not_stronger=why or "",
            control_groups=_read(lambda text: tuple(map(str, json.loads(text))), bounded, ()),
            not_bounded=unbounded or "",
            network=_network(network),
            instances=instances[node.id],
            dram_bytes=node.tiers.dram_bytes,
            dram_used_bytes=node.tiers.dram_used_bytes,
            disk_used_bytes=node.tiers.disk_used_bytes,
            bandwidths=dict(node.tiers.bandwidths),
            arriving=dict(node.tiers.arriving),
            last_seen=_read(float, last_seen, 0.0),
            started_at=_read(float, started_at, None),
            pid=_read(int, pid, None),
        )
        for node, (last_seen, started_at, pid, why, bounded, unbounded, network) in zip(view.nodes, rows, strict=True)
    ]


def instance_infos(redis: Redis, registry: FunctionRegistry) -> list[InstanceInfo]:
    """Return every instance, by id."""
    view = read_view(redis)
    instances, nodes = view.instances, [node.id for node in view.nodes]
    settings = _fields(redis, map(RedisKey.NODE.of, nodes), "network")
    networks = {node: _network(network) for node, (network,) in zip(nodes, settings, strict=True)}
    rows = _fields(redis, (RedisKey.INSTANCE.of(instance.id) for instance in instances), "created_at", "idle_since")
    return [
        InstanceInfo(
            id=instance.id,
            function=instance.function,
            version=instance.version,
            node=instance.node,
            state=instance.state.value,
            concurrency=instance.concurrency,
            in_use=instance.in_use,
            memory_bytes=instance.memory_bytes,
            **_reach(registry, instance.version, networks.get(instance.node, Network.HOST)),
            created_at=float(created_at or 0),
            idle_since=float(idle_since) if idle_since else None,
        )
        for instance, (created_at, idle_since) in zip(instances, rows, strict=True)
    ]


def _reach(registry: FunctionRegistry, version: str, of_its_node: Network) -> _Reach:
    try:
        spec = registry.version(version).spec
    except (VersionNotFound, RecordUnreadable):  # deleted a day ago, or of another release
        return _Reach(network=of_its_node, egress=())
    return _Reach(network=spec.network or of_its_node, egress=spec.egress)


def _read(read: Callable[[str], Value], written: str | None, otherwise: Otherwise) -> Value | Otherwise:
    """Read what a node wrote; `otherwise` where it wrote nothing, or something that only another release reads."""
    try:
        return read(written) if written else otherwise
    except (TypeError, ValueError):
        return otherwise


def _network(written: str | None) -> Network:
    """Read a node's setting; of one whose release had none, or whose next one has another, the usual."""
    return Network(written) if written in frozenset(Network) else Network.HOST


def _fields(redis: Redis, keys: Iterable[str], *names: str) -> list[list[Any]]:
    pipe = redis.pipeline(transaction=False)
    for key in keys:
        pipe.hmget(key, *names)
    return cast("list[list[Any]]", pipe.execute())
