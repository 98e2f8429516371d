"""What every allocation policy has in common: when to wait or refuse, which nodes are possible, who makes room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from quickthaw_platform.contracts import (
    AllocationRequest,
    ClusterView,
    Decision,
    FunctionStats,
    InstanceState,
    InstanceView,
    Option,
    Refuse,
    Start,
    Wait,
)
from quickthaw_platform.router.estimator import Estimates, estimate
from quickthaw_platform.router.policies import reasons, room
from quickthaw_platform.router.table import Flags, Floats, Table
from quickthaw_platform.router.view_table import table_of

CONSIDERED = 5
"""Options that are weighed in full and shown: the best by rank."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """A request, and every node as a place for it."""

    request: AllocationRequest
    view: ClusterView
    table: Table
    estimates: Estimates
    open: Flags  # ready, with the right device and labels, large enough, and can get at the checkpoint
    free: Floats  # bytes that each node has free for it
    fitting: Flags  # open, with the room, now or when idle instances have left


class Rank(Protocol):
    """Ranks nodes: the least is the best."""

    def __call__(self, candidates: Candidates) -> Floats:
        """Return a figure for every node; those that are not possible are passed over anyway."""


def candidates_of(request: AllocationRequest, view: ClusterView) -> Candidates:
    """Weigh every node."""
    table = table_of(view)
    estimates = estimate(request, view.functions.get(request.function), table)
    possible = table.matching(request.device, request.labels, request.isolation)
    possible = possible & table.ready & np.isfinite(estimates.load)
    possible &= table.memory >= request.memory_bytes
    free = table.free_for(request.version)
    fitting = possible & (free + table.idle >= request.memory_bytes)
    return Candidates(request, view, table, estimates, possible, free, fitting)


def wait_for_coming(request: AllocationRequest, view: ClusterView) -> Wait | None:
    """Wait when what waits will fit into instances that start, or into free slots of those that serve; or when there
    are as many instances as may be.
    """
    if not view.nodes:
        return Wait(reasons.NO_WORKER)
    serving = serving_instances(request.version, table_of(view))
    slots = sum(instance.concurrency - instance.in_use for instance in serving)
    if slots > 0 and slots >= view.waiting.get(request.version, 0):
        starting = [instance for instance in serving if instance.state is InstanceState.STARTING]
        if not starting:
            return Wait(reasons.ABOUT_TO_BE_TAKEN)
        first = min(starting, key=lambda instance: instance.start_seconds)
        return Wait(reasons.starting(first), first.start_seconds or None)
    if len(serving) >= request.max_instances:
        return Wait(reasons.all_busy(len(serving), request), _slot_seconds(request, view, serving))
    return None


def serving_instances(version: str, table: Table) -> list[InstanceView]:
    """Return the version's instances that take work or will: neither they nor their nodes drain."""
    return [
        instance
        for instance in table.version_instances(version)
        if instance.state is not InstanceState.DRAINING
        and (row := table.index.get(instance.node)) is not None
        and table.ready[row]
    ]


def place(candidates: Candidates, rank: Rank) -> Decision:
    """Start on the node that ranks best, of those with room; else say why not."""
    fitting = candidates.fitting
    if not fitting.any():
        return without_room(candidates)
    ranks = rank(candidates)
    shown = best_rows(fitting, ranks)
    rows = np.flatnonzero(fitting)
    for row in (*shown, *rows[np.argsort(ranks[rows], kind="stable")][len(shown) :]):
        started = start_on(candidates, int(row), shown)
        if started is not None:
            return started
    return without_room(candidates)


def best_rows(possible: Flags, ranks: Floats) -> list[int]:
    """Return the CONSIDERED best rows, best first; equal ones by their place."""
    (rows,) = possible.nonzero()
    found = ranks[rows]
    if len(rows) > CONSIDERED:
        limit = np.partition(found, CONSIDERED - 1)[CONSIDERED - 1]
        nearest = (found <= limit).nonzero()[0][: 4 * CONSIDERED]
        rows, found = rows[nearest], found[nearest]
    best: list[int] = rows[found.argsort(kind="stable")[:CONSIDERED]].tolist()
    return best


def start_on(candidates: Candidates, row: int, shown: Sequence[int]) -> Start | None:
    """Start on a node, idle instances making room where need be; None where they cannot."""
    request, table = candidates.request, candidates.table
    retire = room.retirable(candidates.view, table, row, request)
    if retire is None:
        return None
    waits = room.RETIRE_SECONDS if retire else 0.0
    chosen = candidates.estimates.option(table.rows[row].node.id, row, waits, "chosen")
    others = tuple(described(candidates, other) for other in shown if other != row)
    return Start(
        node=chosen.node,
        estimate_seconds=chosen.seconds,
        way=chosen.way,
        load_seconds=chosen.queue_seconds + chosen.load_seconds,
        retire=tuple(instance.id for instance in retire),
        considered=(chosen, *others),
    )


def described(candidates: Candidates, row: int, verdict: str = "") -> Option:
    """Return a node that was not chosen."""
    fits = candidates.free[row] >= candidates.request.memory_bytes
    said = verdict or ("ranked lower" if fits else "ranked lower; idle instances would have to leave")
    return candidates.estimates.option(candidates.table.rows[row].node.id, row, 0.0, said)


def without_room(candidates: Candidates) -> Decision:
    """Say why it cannot start now, and who is to give way."""
    request, view, table = candidates.request, candidates.view, candidates.table
    refusal = _never(request, view)
    if refusal is not None:
        return refusal
    if not candidates.open.any():
        return Wait(reasons.nobody_open(request, view))
    rows = [int(row) for row in np.flatnonzero(candidates.open)]
    drain = room.to_give_way(view, table, rows, request)
    shown = best_rows(candidates.open, candidates.estimates.total)
    options = tuple(described(candidates, row, "no room") for row in shown)
    return Wait(reasons.no_room(request, table, rows, drain), drain=drain, considered=options)


def _never(request: AllocationRequest, view: ClusterView) -> Refuse | None:
    holders = [node for node in view.nodes if node.has(request.checkpoint)]
    if not holders:
        return Refuse(reasons.nobody_holds_it(request, view))
    if all(node.memory_bytes < request.memory_bytes for node in holders):
        return Refuse(reasons.nobody_is_large_enough(request, holders))
    return None


def _slot_seconds(request: AllocationRequest, view: ClusterView, serving: Sequence[InstanceView]) -> float | None:
    return slot_seconds(view.functions.get(request.function), serving, view.waiting.get(request.version, 1))


def slot_seconds(stats: FunctionStats | None, serving: Sequence[InstanceView], waiting: int) -> float | None:
    """Estimate when the last of those waiting gets a slot of an instance that serves now; None: not known.

    Of c slots that are each held for s seconds in the mean, one frees every s / c seconds.
    """
    slots = sum(i.concurrency for i in serving if i.state in (InstanceState.READY, InstanceState.LOADED))
    if stats is None or stats.service_seconds is None or not slots:
        return None
    return waiting * stats.service_seconds / slots
