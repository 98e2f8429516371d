"""Making room by moving running invocations, where that is sooner than anything else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quickthaw_platform.contracts import (
    AllocationRequest,
    Decision,
    InstanceState,
    InstanceView,
    Move,
    Option,
    Start,
    Wait,
)
from quickthaw_platform.router.estimator import estimate
from quickthaw_platform.router.policies import reasons, room
from quickthaw_platform.router.policies.deciding import CONSIDERED, Candidates, best_rows


@dataclass(frozen=True, slots=True)
class _Plan:
    seconds: float  # until the request's instance would serve
    moves: tuple[Move, ...]
    option: Option


def rather_move(candidates: Candidates, decision: Decision) -> Decision:
    """Return `decision`, or a Wait with moves where the node that they free would serve sooner."""
    if candidates.view.migration is None or (isinstance(decision, Wait) and decision.drain):
        return decision
    limit = decision.estimate_seconds if isinstance(decision, Start) else None
    plan = _best_plan(candidates, np.inf if limit is None else limit)
    if plan is None:
        return decision
    source = plan.moves[0].instance
    reason = reasons.moving(plan.option.node, len(plan.moves), plan.moves[0].to_node)
    return Wait(reason, plan.seconds, (source,), plan.moves, (plan.option, *decision.considered)[:CONSIDERED])


def _best_plan(candidates: Candidates, limit: float) -> _Plan | None:
    """Look at the nodes that would be sooner were they free; nothing while one of them is being freed."""
    table, estimates = candidates.table, candidates.estimates
    need = candidates.request.memory_bytes
    full = candidates.open & ~candidates.fitting & (estimates.total + room.RETIRE_SECONDS < limit)
    if not full.any() or (candidates.open & (table.leaving > 0) & (candidates.free + table.leaving >= need)).any():
        return None
    best: _Plan | None = None
    for row in best_rows(full, estimates.total):
        for instance in table.node_instances(row):
            plan = _plan(candidates, row, instance)
            if plan is not None and plan.seconds < (limit if best is None else best.seconds):
                best = plan
    return best


def _plan(candidates: Candidates, row: int, instance: InstanceView) -> _Plan | None:
    """Weigh moving all that an instance runs to the node where its own version would serve soonest."""
    view, table = candidates.view, candidates.table
    free = candidates.free[row] + table.idle[row] + instance.memory_bytes
    if instance.state is not InstanceState.READY or not instance.running or free < candidates.request.memory_bytes:
        return None
    to = _destination(candidates, row, instance)
    if to is None or view.migration is None:
        return None
    there, start_seconds = to
    moved = start_seconds + max(view.migration.of(running.tokens) for running in instance.running)
    option = candidates.estimates.option(table.rows[row].node.id, row, moved + room.RETIRE_SECONDS, "freed by moving")
    moves = tuple(Move(running.invocation, instance.id, there) for running in instance.running)
    return _Plan(option.seconds, moves, option)


def _destination(candidates: Candidates, row: int, instance: InstanceView) -> tuple[str, float] | None:
    view, table = candidates.view, candidates.table
    request = AllocationRequest(
        instance.function, instance.version, instance.checkpoint, instance.memory_bytes, instance.concurrency,
        max_instances=1, checkpoint_bytes=instance.checkpoint_bytes,
    )  # fmt: skip
    estimates = estimate(request, view.functions.get(instance.function), table)
    possible = table.ready & np.isfinite(estimates.load) & (table.free_for(instance.version) >= instance.memory_bytes)
    possible[row] = False
    if not possible.any():
        return None
    [best, *_] = best_rows(possible, estimates.total)
    return table.rows[best].node.id, float(estimates.total[best])
