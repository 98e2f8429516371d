"""Reading the cluster as one moment shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from redis import Redis

from quickthaw.types import Isolation
from quickthaw_platform.contracts import (
    ClusterView,
    FunctionStats,
    InstanceState,
    InstanceView,
    NodeState,
    NodeView,
    Running,
    TiersView,
)
from quickthaw_platform.invocations.scripts import Scripts
from quickthaw_platform.invocations.slots import INSTANCES_KEY, parse_instances
from quickthaw_platform.router import learnt
from quickthaw_platform.router.view_table import table_of
from quickthaw_platform.stored_records import tell_once

LEAST_BANDWIDTH = 1e3
MOST_BANDWIDTH = 1e12
_LEVELS = frozenset(Isolation)
"""Bytes/s: what a node reports beyond these was not measured in earnest, and counts as not measured."""

LEAST_SPAN_SECONDS = 0.1
"""Calls are counted over no less, so that one that came just now is no flood."""


def read_view(redis: Redis, function: str | None = None) -> ClusterView:
    """Return the cluster, read by one script, `function` among the functions told of; Unavailable when Redis is.

    Told of are besides the functions that have an instance or something waiting.
    """
    named = () if function is None else (function,)
    return parse_view(Scripts(redis).run("view", INSTANCES_KEY, 1, *named))


def count_serving(view: ClusterView, version: str) -> int:
    """Count the version's instances that serve or will: what drains, or is on a draining node, does not.

    This is what `reserve.lua` counts too.
    """
    table = table_of(view)
    return sum(
        instance.state is not InstanceState.DRAINING and not table.drains(instance.node)
        for instance in table.version_instances(version)
    )


def parse_view(answer: Sequence[Any]) -> ClusterView:
    """Read what `view.lua` answers."""
    rows, node_rows, waiting, functions, beyond, running, moving = answer
    movable = {name: _running(flat) for name, flat in zip(running[::2], running[1::2], strict=True)}
    instances = [replace(i, running=movable[i.id]) if i.id in movable else i for i in parse_instances(rows)]
    reserved = _reserved_bytes(instances)
    remote = {key: frozenset(ids) for key, ids in zip(beyond[::2], beyond[1::2], strict=True)}
    nodes = sorted((_node(row, reserved, remote) for row in node_rows), key=lambda node: node.id)
    return ClusterView(
        nodes=tuple(nodes),
        instances=tuple(instances),
        waiting=dict(zip(waiting[::3], map(int, waiting[1::3]), strict=True)),
        waited=dict(zip(waiting[::3], map(float, waiting[2::3]), strict=True)),
        functions={row[0]: _stats(*row[1:]) for row in functions},
        migration=learnt.migration_cost(dict(zip(moving[::2], moving[1::2], strict=True))),
    )


def _running(flat: Sequence[str]) -> tuple[Running, ...]:
    rows = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    return tuple(Running(invocation, int(tokens), float(seconds)) for invocation, tokens, seconds in rows)


def _reserved_bytes(instances: Sequence[InstanceView]) -> dict[str, int]:
    found: dict[str, int] = {}
    for instance in instances:
        found[instance.node] = found.get(instance.node, 0) + instance.memory_bytes
    return found


def _node(row: Sequence[Any], reserved: Mapping[str, int], remote: Mapping[str, frozenset[str]]) -> NodeView:
    """Read a node's record. One that another release wrote in a form of its own takes nothing new; others do."""
    try:
        return _readable_node(row, reserved, remote)
    except (TypeError, ValueError, OverflowError) as error:
        identity, state, device, *_ = row
        tell_once(f"node {identity}, which takes nothing new: its worker is of another release ({error})")
        return NodeView(
            id=identity,
            state=_node_state(state),
            device=device or "cpu",
            memory_bytes=reserved.get(identity, 0),
            memory_free_bytes=0,
            checkpoints=frozenset(),
            templates=frozenset(),
        )


def _node_state(state: str | None) -> NodeState:
    """Return a node's state; one that only another release knows is draining, as `draining` in prelude.lua has it."""
    return NodeState.READY if state == NodeState.READY else NodeState.DRAINING


def _readable_node(row: Sequence[Any], reserved: Mapping[str, int], remote: Mapping[str, frozenset[str]]) -> NodeView:
    identity, state, device, memory, checkpoints, templates, tiers, labels, beyond, primed, *others = row
    kept_for, kept_bytes, isolation, asleep = others
    memory_bytes = int(memory or 0)
    return NodeView(
        id=identity,
        state=_node_state(state),
        device=device or "cpu",
        memory_bytes=memory_bytes,
        memory_free_bytes=memory_bytes - reserved.get(identity, 0),
        checkpoints=_ids(checkpoints),
        templates=_ids(templates),
        tiers=_tiers(tiers, remote.get(beyond or "", frozenset())),
        labels={str(name): str(value) for name, value in _object(labels).items()},
        kept_for=kept_for,
        kept_bytes=int(kept_bytes),
        primed=_ids(primed),
        asleep=_ids(asleep),
        isolation=Isolation(isolation) if isolation in _LEVELS else Isolation.NONE,
    )


def _ids(text: str | None) -> frozenset[str]:
    """Read a JSON list of ids; ValueError for anything else."""
    found = json.loads(text or "[]")
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError(f"{text!r} is no list of ids")
    return frozenset(found)


def _object(text: str | None) -> Mapping[str, Any]:
    """Read a JSON object; none for a node that has not written it, or wrote something else: others are still seen."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _tiers(text: str | None, remote: frozenset[str]) -> TiersView:
    """Read what `checkpoints.tiers.status` wrote."""
    found = _object(text)
    try:
        return TiersView(
            dram=frozenset(found.get("dram", ())),
            arriving={str(name): int(size) for name, size in found.get("arriving", {}).items()},
            bandwidths=_sane(found.get("bandwidths", {})),
            dram_bytes=int(found.get("dram_bytes", 0)),
            dram_used_bytes=int(found.get("dram_used_bytes", 0)),
            disk_used_bytes=int(found.get("disk_used_bytes", 0)),
            remote=remote,
            push_failures={str(name): str(why) for name, why in found.get("push_failures", {}).items()},
        )
    except (TypeError, ValueError, AttributeError, OverflowError):
        return TiersView(remote=remote)


def _sane(bandwidths: Mapping[str, Any]) -> dict[str, float]:
    read = {tier: float(rate) for tier, rate in bandwidths.items()}
    return {tier: rate for tier, rate in read.items() if LEAST_BANDWIDTH <= rate <= MOST_BANDWIDTH}


def _stats(weight: str, calls: int, span: str, stored: Sequence[str]) -> FunctionStats:
    return replace(
        learnt.parse(dict(zip(stored[::2], stored[1::2], strict=True))),
        calls_per_second=int(calls) / max(LEAST_SPAN_SECONDS, float(span)) if span else 0.0,
        weight=float(weight or 1),
    )
