"""What runs in the next step. Pure: it sees counts, and decides; the batch loop acts.

Tokens of the KV cache are the unit of memory. A request reserves room for its prompt when it is admitted and more as
it grows; where there is none left, the request that came last gives its room back and is computed again later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_GRAIN_TOKENS = 64
"""Room is reserved in multiples of this."""


@dataclass(frozen=True, slots=True)
class View:
    """A request as the scheduler sees it; the counts are tokens."""

    id: str
    known: int  # prompt and answer so far
    computed: int  # of those, how many are in the KV cache
    reserved: int  # room in the KV cache
    limit: int  # most it can come to
    shared: int = 0  # of the reserved room, what is another's and counted there

    @property
    def pending(self) -> int:
        """Tokens that must be computed before the next one can be chosen."""
        return self.known - self.computed

    @property
    def decodes(self) -> bool:
        """Whether only its newest token is to be computed."""
        return self.pending == 1 and self.computed > 0


@dataclass(frozen=True, slots=True)
class Budget:
    """What a step may use."""

    kv_tokens: int  # of the whole KV cache
    max_batch: int
    step_tokens: int  # while others decode
    prefill_tokens: int  # while nobody decodes, and for a burst of prompts: see `_tokens`
    chunked: bool = True  # False: the model computes a prompt in one piece


@dataclass(slots=True)
class Plan:
    """The next step: who runs and with how many tokens, whose room changes, who must give it back."""

    chunks: dict[str, int] = field(default_factory=dict)  # id to tokens
    reserve: dict[str, int] = field(default_factory=dict)  # id to new room; a waiting one is admitted by this
    preempt: list[str] = field(default_factory=list)
    lacks_room: bool = False  # whether with more of it somebody more could run


def room(tokens: int, limit: int) -> int:
    """Return how much to reserve for `tokens`: a quarter more, so that growing is rare, and never past `limit`."""
    wanted = tokens + tokens // 4
    return min(limit, -(-wanted // _GRAIN_TOKENS) * _GRAIN_TOKENS)


def plan_step(running: Sequence[View], waiting: Sequence[View], budget: Budget) -> Plan:
    """Plan a step: first everybody who decodes, then prompts in order of arrival as far as the tokens go.

    `running` and `waiting` are in order of arrival. A waiting request never overtakes another.
    """
    plan = Plan()
    free = budget.kv_tokens - sum(view.reserved - view.shared for view in running)
    staying = list(running)
    for view in running:
        if view.id not in plan.preempt:
            free = _ensure_room(view, staying, free, plan)
    decoding = [view for view in staying if view.decodes]
    plan.chunks.update((view.id, 1) for view in decoding)
    places = budget.max_batch - len(staying)
    left = _tokens(decoding, [*(view for view in staying if not view.decodes), *waiting[: max(0, places)]], budget)
    for view in staying:
        if not view.decodes:
            left -= _take(view, left, budget, plan)
    if not plan.preempt:
        _admit(waiting, budget, plan, left=left, free=free, places=places)
    return plan


def _tokens(decoding: Sequence[View], prompts: Sequence[View], budget: Budget) -> int:
    """Return how many tokens of prompts a step takes.

    Those who decode wait longer than usual for one step only, and only where more than they wait to begin: for prompts
    that all fit into it.
    """
    if not decoding:
        return budget.prefill_tokens
    pending = [view.pending for view in prompts if view.pending]
    if len(pending) > len(decoding) and sum(pending) <= budget.prefill_tokens:
        return budget.prefill_tokens
    return max(0, budget.step_tokens - len(decoding))


def _ensure_room(view: View, staying: list[View], free: int, plan: Plan) -> int:
    """Give `view` room for its known tokens; return what is free afterwards."""
    while view.known > view.reserved:
        wanted = room(view.known, view.limit)
        granted = min(wanted, view.reserved + free)
        if granted >= view.known:
            plan.reserve[view.id] = granted
            return free - (granted - view.reserved)
        plan.lacks_room = True
        last = staying.pop()
        plan.preempt.append(last.id)
        free += plan.reserve.pop(last.id, last.reserved) - last.shared
        if last is view:
            break
    return free


def _take(view: View, left: int, budget: Budget, plan: Plan) -> int:
    count = min(view.pending, left) if budget.chunked else view.pending
    if count <= 0 or (left <= 0 and plan.chunks):
        return 0
    plan.chunks[view.id] = count
    return count


def _admit(waiting: Sequence[View], budget: Budget, plan: Plan, *, left: int, free: int, places: int) -> None:
    for view in waiting:
        if not view.pending:  # held, and nothing is known to be computed yet
            continue
        granted = min(room(view.known, view.limit), free + view.shared)
        if places <= 0 or left <= 0:
            return
        if granted < view.known:
            plan.lacks_room = True
            return
        plan.reserve[view.id] = granted
        left -= _take(view, left, budget, plan)
        free -= granted - view.shared
        places -= 1
