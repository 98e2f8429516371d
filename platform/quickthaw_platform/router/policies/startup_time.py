"""`startup-time`: whatever has the request served soonest: a slot that is soon free, a start, a start after a move."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from quickthaw_platform.contracts import AllocationRequest, ClusterView, Decision, InstanceState, Start, Wait
from quickthaw_platform.router.estimator import usual_start_seconds
from quickthaw_platform.router.policies import reasons, room
from quickthaw_platform.router.policies.deciding import (
    Candidates,
    best_rows,
    candidates_of,
    place,
    serving_instances,
    slot_seconds,
    start_on,
    wait_for_coming,
)
from quickthaw_platform.router.policies.moving import rather_move
from quickthaw_platform.router.table import Floats

REUSE_SECONDS = 60.0
"""How far ahead it is weighed whether an instance that must leave would have been called again."""

PATIENCE = 3.0
"""How many times the expected time a request waits for a slot, before a start is no longer put off."""

SPREAD_SECONDS = 1e6
"""With `spread`, a node that has an instance already counts as so much later."""

BUSY_SECONDS = 1e-6
"""Of equals, the node with less to do."""


class StartupTimePolicy:
    """Least time until the request is served, what it costs others included."""

    def choose(self, request: AllocationRequest, view: ClusterView) -> Decision:
        """Decide for `request` on what `view` shows."""
        waits = wait_for_coming(request, view)
        if waits is not None:
            return waits
        candidates = candidates_of(request, view)
        decision = _cheapest(candidates) or place(candidates, _rank)
        decision = rather_move(candidates, decision)
        return decision if request.ahead else _rather_slot(candidates, decision)


def _rank(candidates: Candidates) -> Floats:
    """Seconds until it serves; starts at once on one node hinder each other, so those under way count."""
    table, estimates = candidates.table, candidates.estimates
    crowded = estimates.init * table.starting
    full = np.where(candidates.free < candidates.request.memory_bytes, room.RETIRE_SECONDS, 0.0)
    ranks = estimates.total + crowded + full + BUSY_SECONDS * (table.busy + table.starting)
    if candidates.request.spread:
        for instance in table.version_instances(candidates.request.version):
            ranks[table.index[instance.node]] += SPREAD_SECONDS
    return np.asarray(ranks)


def _cheapest(candidates: Candidates) -> Start | None:
    """Weigh the best nodes in full: what their idle instances are worth to others is added."""
    fitting = candidates.fitting
    if not fitting.any():
        return None
    ranks = _rank(candidates)
    rows = best_rows(fitting, ranks)
    costs = [(ranks[row] + _harm(candidates, row), row) for row in rows]
    best, row = min(costs)
    return start_on(candidates, row, rows) if math.isfinite(best) else None


def _harm(candidates: Candidates, row: int) -> float:
    """Expect the seconds that others will wait because instances left here: P(called again) × their start."""
    retired = room.retirable(candidates.view, candidates.table, row, candidates.request)
    if retired is None:
        return math.inf
    harm = 0.0
    for instance in retired:
        stats = candidates.view.functions.get(instance.function)
        if stats is not None:
            called = 1 - math.exp(-stats.calls_per_second * REUSE_SECONDS)
            harm += called * usual_start_seconds(stats)
    return harm


def _rather_slot(candidates: Candidates, decision: Decision) -> Decision:
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
    if slot < decision.estimate_seconds and view.waited.get(request.version, 0.0) <= PATIENCE * slot:
        reason = reasons.slot_is_sooner(slot, decision.estimate_seconds)
        return Wait(reason, slot, considered=decision.considered)
    return decision
