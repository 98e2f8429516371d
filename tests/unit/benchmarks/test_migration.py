"""What readers of moved and killed streams saw, from given instants."""

import pytest

from benchmarks.migration.nodes import Used, cost
from benchmarks.migration.report import (
    LIVE,
    RESUME,
    STAGES,
    UNDISTURBED,
    Case,
    Cost,
    Found,
    Piece,
    Run,
    cost_report,
    gap_report,
    lost_tokens,
    stage_report,
    stages_of,
)
from quickthaw.resources import LifeStep
from quickthaw.types import InvocationState


def run(*instants: float, cuts: tuple[int, ...] = (), first: int = 0) -> Run:
    pieces = tuple(Piece(at, (first + number,)) for number, at in enumerate(instants))
    return Run(pieces, cuts, tuple(instants[cut] - instants[cut - 1] for cut in cuts))


def test_a_gap_is_no_interval() -> None:
    found = run(0.0, 0.1, 0.5, 0.6, cuts=(2,))
    assert found.gaps == pytest.approx([0.4])
    assert found.intervals == pytest.approx([0.1, 0.1])


def test_tokens_that_are_not_the_undisturbed_ones_are_lost() -> None:
    assert lost_tokens([1, 2, 3, 4], [1, 2, 3]) == 0, "it was cancelled there"
    assert lost_tokens([1, 2, 3, 4], [1, 3, 4]) == 2


def streams(gap: float) -> Found:
    return Found((run(0.0, 0.1, 0.1 + gap, 0.2 + gap, cuts=(2,)),), expected=(0, 1, 2, 3))


def test_goals_are_gaps_in_the_intervals_of_the_same_streams() -> None:
    found = {
        Case(UNDISTURBED, 64): Found((run(0.0, 0.05, 0.1),), (0, 1, 2)),
        Case(LIVE, 64): streams(0.2),
        Case(UNDISTURBED, 512): Found((run(0.0, 0.1, 0.2),), (0, 1, 2)),
        Case(LIVE, 512): streams(0.4),
    }
    made = gap_report(found, {})
    assert [goal.value for goal in made.goals] == pytest.approx([2, 4, 2, 0])
    assert [goal.held for goal in made.goals] == [True, False, False, True]
    assert made.rows[0]["gap ms, p50"] is None
    assert made.rows[1]["p99 in undisturbed"] == pytest.approx(4)


def test_a_lost_token_fails_its_goal() -> None:
    whole, moved = run(0.0, 0.1, 0.2), run(0.0, 0.1, 0.2, cuts=(1,), first=7)
    made = gap_report({Case(UNDISTURBED, 64): Found((whole,)), Case(LIVE, 64): Found((moved,), (0, 1, 2))}, {})
    assert (made.goals[-1].value, made.goals[-1].held) == (3, False)


def test_a_move_is_charged_with_what_the_stream_had_not_used_anyway() -> None:
    idle = Used(10.0, 1000, {"a": 1.0, "b": 0.0})
    began, ended = Used(12.0, 3000, {"a": 2.0, "b": 0.0}), Used(13.0, 9000, {"a": 2.5, "b": 0.75})
    found = cost(idle, began, ended, source="a", arrived_at=12.75)
    assert found == Cost(0.75, 0, 0.5, 0.75, 5000)


def test_costs_are_shown_where_something_moved() -> None:
    moved = Run((), costs=(Cost(1.0, 3, 0.5, 0.7, 5000), Cost(3.0, 5, 0.5, 0.9, 7000)))
    (row,) = cost_report({Case(LIVE, 64): Found((moved,)), Case(RESUME, 64): Found((run(0.0),))}, {}).rows
    assert (row["most"], row["most rounds"], row["KB over Redis"]) == (3.0, 5, 6.0)
    assert row["CPU s, destination"] == pytest.approx(0.8)


STEPS = [
    LifeStep(at=1.0, state=InvocationState.QUEUED),
    LifeStep(at=1.1, state=InvocationState.ASSIGNED),
    LifeStep(at=1.2, state=InvocationState.RUNNING),
    LifeStep(at=2.1, state=InvocationState.QUEUED, reason="lost"),
    LifeStep(at=2.4, state=InvocationState.ASSIGNED),
    LifeStep(at=2.5, state=InvocationState.RUNNING),
]


def test_stages_begin_with_the_kill() -> None:
    assert list(stages_of(2.0, STEPS, 3.5).values()) == pytest.approx([0.1, 0.3, 0.1, 1.0])


def test_stages_stand_side_by_side_for_each_context() -> None:
    killed = Run((), stages=(dict.fromkeys(STAGES, 0.1), dict.fromkeys(STAGES, 0.2)))
    found = {Case(RESUME, 64): Found((killed,)), Case(LIVE, 64): Found((run(0.0),))}
    rows = {row["stage"]: row for row in stage_report(found, {}).rows}
    assert list(rows) == [*STAGES, "all"]
    assert rows["all"]["64, p50"] == pytest.approx(600)
    assert rows[STAGES[0]]["64, p99"] == pytest.approx(199)
