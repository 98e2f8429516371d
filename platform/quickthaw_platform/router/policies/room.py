"""Who leaves when room is wanted: idle instances at once, the least worth keeping first; others when it is fair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from quickthaw_platform.contracts import AllocationRequest, ClusterView, FunctionStats, InstanceState, InstanceView
from quickthaw_platform.router.estimator import usual_start_seconds
from quickthaw_platform.router.table import Table, is_idle

RETIRE_SECONDS = 0.1
"""An idle instance that is told to stop has left after about so long."""

FAIR_WAIT_SECONDS = 2.0
"""What waits for room this long without an instance of its own may have another function's instance give way."""

LATER_SECONDS, LONGEST_SECONDS = 20.0, 60.0
"""Where giving way only swaps who has less, it is done for what has waited so much longer than the holder's own calls,
or so long: to swap for each call would be a start for each call.
"""

_UNKNOWN = FunctionStats()


def retirable(view: ClusterView, table: Table, row: int, request: AllocationRequest) -> list[InstanceView] | None:
    """Return the idle instances of a node that must leave for the request to fit; None where that is not enough.

    Greedy-Dual's order (Cao and Irani, 1997): frequency of calls × seconds of a start / bytes, the least first. An
    instance whose version something waits for, or which its version always wants, stays.
    """
    missing = request.memory_bytes - table.free_at(row, request.version)
    if missing <= 0:
        return []
    leaving: list[InstanceView] = []
    kept = Counter[str]()
    for instance in sorted(_idle(view, table, row), key=lambda instance: (worth(instance, view), instance.id)):
        if _spare(instance, table, kept[instance.version]):
            kept[instance.version] += 1
            leaving.append(instance)
            missing -= instance.memory_bytes
            if missing <= 0:
                return leaving
    return None


def worth(instance: InstanceView, view: ClusterView) -> float:
    """Return what keeping an idle instance saves: seconds of starts per second and byte."""
    stats = view.functions.get(instance.function, _UNKNOWN)
    return stats.calls_per_second * usual_start_seconds(stats) / max(1, instance.memory_bytes)


def to_give_way(view: ClusterView, table: Table, rows: Sequence[int], request: AllocationRequest) -> tuple[str, ...]:
    """Return the instance that is to leave when it has finished what it does, so that no function keeps another out.

    Nobody while something leaves already, or while the request's function holds its share: memory by weight. Dedicated
    instances (of serverful and hybrid versions) never do: they are paid for whether they are busy or not.
    """
    room = table.free_for(request.version) + table.idle
    if any(table.leaving[row] + room[row] >= request.memory_bytes for row in rows):
        return ()
    waited = view.waited.get(request.version, 0.0)
    if waited < FAIR_WAIT_SECONDS:
        return ()
    held, weights = _holdings(view)
    mine = (held[request.function] + request.memory_bytes) / request.weight
    best: tuple[float, InstanceView] | None = None
    for row in rows:
        for instance in table.node_instances(row):
            share = held[instance.function] / weights.get(instance.function, 1.0)
            enough = room[row] + instance.memory_bytes >= request.memory_bytes
            serving = instance.state in (InstanceState.READY, InstanceState.LOADED)
            if instance.function == request.function or not serving or not enough or share < mine:
                continue
            if instance.dedicated and not _spare(instance, table, 0):
                continue
            swaps = share - instance.memory_bytes / weights.get(instance.function, 1.0) < mine
            if swaps and waited < _swap_seconds(view, instance.version):
                continue
            if best is None or (share, -instance.in_use) > (best[0], -best[1].in_use):
                best = (share, instance)
    return () if best is None else (best[1].id,)


def _swap_seconds(view: ClusterView, holder: str) -> float:
    """Return how long something waits before the holder's last share is its."""
    held_up = view.waited.get(holder)
    return FAIR_WAIT_SECONDS if held_up is None else min(held_up + LATER_SECONDS, LONGEST_SECONDS)


def _idle(view: ClusterView, table: Table, row: int) -> list[InstanceView]:
    waiting = view.waiting
    return [i for i in table.node_instances(row) if is_idle(i) and not waiting.get(i.version)]


def _spare(instance: InstanceView, table: Table, gone: int) -> bool:
    """Whether its version keeps its minimum without it, `gone` others of the version having left."""
    if not instance.min_instances:
        return True
    serving = (InstanceState.READY, InstanceState.LOADED)
    there = sum(other.state in serving for other in table.version_instances(instance.version))
    return there - gone > instance.min_instances


def _holdings(view: ClusterView) -> tuple[Counter[str], dict[str, float]]:
    """Return the memory that each function's instances hold (draining ones apart), and the functions' weights."""
    held: Counter[str] = Counter()
    for instance in view.instances:
        if instance.state is not InstanceState.DRAINING:
            held[instance.function] += instance.memory_bytes
    return held, {name: stats.weight for name, stats in view.functions.items()}
