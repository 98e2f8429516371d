"""`startup-time`: whatever has the request served soonest: a start, one after a move or on a node soon free, a slot."""

from __future__ import annotations

import math

from quickthaw_platform.contracts import AllocationRequest, ClusterView, Decision, Start
from quickthaw_platform.router.estimator import usual_start_seconds
from quickthaw_platform.router.policies import room
from quickthaw_platform.router.policies.deciding import (
    Candidates,
    best_rows,
    candidates_of,
    place,
    start_on,
    wait_for_coming,
)
from quickthaw_platform.router.policies.moving import rather_move
from quickthaw_platform.router.policies.waiting import rather_near, rather_slot
from quickthaw_platform.router.table import Floats

REUSE_SECONDS = 60.0
"""How far ahead it is weighed whether an instance that must leave would have been called again."""

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
        return decision if request.ahead else rather_slot(candidates, rather_near(candidates, decision))


def _rank(candidates: Candidates) -> Floats:
    """Seconds until it serves; starts at once on one node hinder each other, so those under way count."""
    table, estimates = candidates.table, candidates.estimates
    crowded = estimates.init * table.starting
    full = room.RETIRE_SECONDS * (candidates.free < candidates.request.memory_bytes)
    ranks: Floats = estimates.total + crowded + full + BUSY_SECONDS * (table.busy + table.starting)
    if candidates.request.spread:
        for instance in table.version_instances(candidates.request.version):
            ranks[table.index[instance.node]] += SPREAD_SECONDS
    return ranks


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
    if candidates.free[row] >= candidates.request.memory_bytes:
        return 0.0
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
