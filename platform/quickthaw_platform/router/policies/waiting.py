"""Waiting where that is better than a start now: for a slot, or for a full node that has the weights in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from quickthaw_platform.contracts import Decision, InstanceState, InstanceView, Start, Wait, Way
from quickthaw_platform.router.estimator import WAYS
from quickthaw_platform.router.policies import reasons, room
from quickthaw_platform.router.policies.deciding import Candidates, best_rows, serving_instances, slot_seconds

PATIENCE = 3.0
"""How many times the expected time a request waits for a slot, before a start is no longer put off."""

NEAR_PATIENCE = 9.0
"""The same for a full node. More, because what becomes free there goes to whoever has waited for it longer."""

_NEAR = (Way.ASLEEP, Way.PRIMED, Way.TEMPLATE, Way.DRAM)


def rather_slot(candidates: Candidates, decision: Decision) -> Decision:
    """Wait for a slot of an instance that serves now, where that is expected to be sooner."""
    request, view = candidates.request, candidates.view
    serving = serving_instances(request.version, candidates.table)
    coming = sum(i.concurrency - i.in_use for i in serving if i.state is not InstanceState.READY)
    waiting = max(1, view.waiting.get(request.version, 1) - coming)
    slot = slot_seconds(view.functions.get(request.function), serving, waiting)
    if slot is None:
        return decision
    if isinstance(decision, Wait):
        sooner = decision.estimate_seconds is None or slot < decision.estimate_seconds
        return replace(decision, estimate_seconds=slot) if sooner and not decision.moves else decision
    if not isinstance(decision, Start) or decision.estimate_seconds is None:
        return decision
    dearer = 1 + contention(candidates)
    patient = view.waited.get(request.version, 0.0) <= PATIENCE * dearer * slot
    if patient and slot < dearer * decision.estimate_seconds:
        reason = reasons.slot_is_sooner(slot, decision.estimate_seconds)
        return Wait(reason, slot, considered=decision.considered)
    return decision


def rather_near(candidates: Candidates, decision: Decision) -> Decision:
    """Wait for room on a node that has the weights in memory rather than start from farther away, where that is
    expected to be sooner, the device time that the farther start takes from others added.
    """
    if not isinstance(decision, Start) or decision.estimate_seconds is None or decision.way in _NEAR:
        return decision
    near = np.asarray(candidates.open & ~candidates.fitting & (candidates.estimates.way <= WAYS.index(Way.DRAM)))
    if not near.any():
        return decision
    total = candidates.estimates.total
    rows = best_rows(near, total)
    soonest, row = min((_room_seconds(candidates, row) + float(total[row]), row) for row in rows)
    crowd = contention(candidates)
    harm = crowd * (decision.estimate_seconds - float(total[row]))
    view, request = candidates.view, candidates.request
    if view.waited.get(request.version, 0.0) > NEAR_PATIENCE * (1 + crowd) * soonest:
        return decision
    if soonest >= decision.estimate_seconds + harm:
        return decision
    node = candidates.table.rows[row].node.id
    reason = reasons.room_is_sooner(node, soonest, decision.estimate_seconds)
    drain = room.to_give_way(view, candidates.table, rows, request)
    return Wait(reason, soonest, drain, considered=decision.considered)


def contention(candidates: Candidates) -> float:
    """Return how many calls of other versions wait for each instance of this size that the cluster can hold: what they
    lose together, in the mean, for each second that an instance takes to start.
    """
    view, request, table = candidates.view, candidates.request, candidates.table
    others = sum(view.waiting.values()) - view.waiting.get(request.version, 0)
    return max(0, others) * request.memory_bytes / max(1.0, float(table.memory.sum()))


def _room_seconds(candidates: Candidates, row: int) -> float:
    """Expect when a full node has room: the bytes that are missing / the bytes that its instances free a second."""
    table, version = candidates.table, candidates.request.version
    missing = candidates.request.memory_bytes - float(candidates.free[row]) - float(table.idle[row])
    rate = _bytes_freed_a_second(candidates, [i for i in table.node_instances(row) if i.version != version])
    return missing / rate if rate else math.inf


def _bytes_freed_a_second(candidates: Candidates, instances: Sequence[InstanceView]) -> float:
    """Add up what running instances hold, each over the time that its call and those that wait for it take."""
    view, rate = candidates.view, 0.0
    for instance in instances:
        stats = view.functions.get(instance.function)
        if stats is not None and stats.service_seconds:
            calls = 1 + view.waiting.get(instance.version, 0)
            rate += instance.memory_bytes / (calls * stats.service_seconds)
    return rate
