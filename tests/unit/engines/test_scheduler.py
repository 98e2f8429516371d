from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw_backends.engines.batching.scheduler import Budget, Plan, View, plan_step, room

BUDGET = Budget(kv_tokens=1000, max_batch=4, step_tokens=32, prefill_tokens=100)


def decoding(name: str, known: int = 50, reserved: int = 64, limit: int = 400) -> View:
    return View(name, known, known - 1, reserved, limit)


def prompt(name: str, tokens: int, computed: int = 0, reserved: int = 0, limit: int = 400) -> View:
    return View(name, tokens, computed, reserved, limit)


def test_nothing_to_do_is_an_empty_plan() -> None:
    assert plan_step([], [], BUDGET) == Plan()


def test_everybody_who_decodes_runs_and_prompts_share_what_is_left() -> None:
    running = [decoding("a"), prompt("b", 90, computed=10, reserved=128), decoding("c")]
    assert plan_step(running, [], BUDGET).chunks == {"a": 1, "c": 1, "b": 30}


def test_a_prompt_alone_gets_the_larger_budget() -> None:
    assert plan_step([], [prompt("a", 250)], BUDGET).chunks == {"a": 100}


def test_a_burst_of_prompts_that_fits_is_computed_in_one_step_beside_fewer_streams() -> None:
    waiting = [prompt("b", 40), prompt("c", 45)]
    assert plan_step([decoding("a")], waiting, BUDGET).chunks == {"a": 1, "b": 40, "c": 45}


@pytest.mark.parametrize(
    ("streams", "prompts", "chunks"),
    [
        (1, [40], [31]),  # as many decode as begin
        (2, [40, 45], [30]),  # the same
        (1, [60, 45], [31]),  # it does not fit into one step
        (3, [40, 45, 10, 5], [29]),  # of these the batch takes only one
    ],
)
def test_streams_wait_no_longer_than_usual_for_other_prompts(
    streams: int, prompts: list[int], chunks: list[int]
) -> None:
    running = [decoding(str(number)) for number in range(streams)]
    waiting = [prompt(f"p{number}", tokens) for number, tokens in enumerate(prompts)]
    plan = plan_step(running, waiting, BUDGET)
    assert list(plan.chunks.values()) == [1] * streams + chunks


def test_prompts_run_in_order_of_arrival() -> None:
    plan = plan_step([], [prompt("a", 60), prompt("b", 60), prompt("c", 60)], BUDGET)
    assert plan.chunks == {"a": 60, "b": 40}
    assert list(plan.reserve) == ["a", "b"]


def test_decoding_goes_on_when_it_takes_the_whole_budget() -> None:
    budget = Budget(kv_tokens=1000, max_batch=9, step_tokens=2, prefill_tokens=100)
    plan = plan_step([decoding("a"), decoding("b"), decoding("c")], [prompt("d", 5)], budget)
    assert plan.chunks == {"a": 1, "b": 1, "c": 1}


def test_a_waiting_request_never_overtakes() -> None:
    running = [decoding("a", known=500, reserved=700, limit=900)]
    plan = plan_step(running, [prompt("large", 390), prompt("small", 5)], BUDGET)
    assert plan.chunks == {"a": 1}
    assert not plan.reserve


def test_no_more_run_than_the_batch_holds() -> None:
    plan = plan_step([decoding(name) for name in "abc"], [prompt("d", 3), prompt("e", 3)], BUDGET)
    assert list(plan.chunks) == ["a", "b", "c", "d"]


def test_room_grows_with_the_sequence_and_never_past_its_limit() -> None:
    assert plan_step([decoding("a", known=65, reserved=64)], [], BUDGET).reserve == {"a": 128}
    assert plan_step([decoding("a", known=65, reserved=64, limit=70)], [], BUDGET).reserve == {"a": 70}
    assert room(100, 1000) == 128


def test_without_room_the_last_to_come_gives_its_own_back() -> None:
    running = [
        decoding("a", known=401, reserved=400, limit=900),
        decoding("b", known=300, reserved=400),
        decoding("c", known=200, reserved=200),
    ]
    plan = plan_step(running, [prompt("d", 1)], BUDGET)
    assert plan.preempt == ["c"]
    assert plan.chunks == {"a": 1, "b": 1}
    assert plan.reserve == {"a": 512}


def test_the_last_gives_way_itself_when_it_is_the_one_that_grows() -> None:
    running = [decoding("a", known=500, reserved=900, limit=900), decoding("b", known=101, reserved=100)]
    plan = plan_step(running, [], BUDGET)
    assert plan.preempt == ["b"]
    assert plan.chunks == {"a": 1}


def test_a_model_that_cannot_be_chunked_computes_a_prompt_in_one_piece() -> None:
    budget = Budget(kv_tokens=1000, max_batch=4, step_tokens=32, prefill_tokens=100, chunked=False)
    assert plan_step([], [prompt("a", 250), prompt("b", 10)], budget).chunks == {"a": 250}
    assert plan_step([decoding("x")], [prompt("a", 250)], budget).chunks == {"x": 1, "a": 250}


@st.composite
def loads(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Prompt and answer lengths of some requests, each of which fits alone."""
    return draw(st.lists(st.tuples(st.integers(1, 150), st.integers(1, 150)), min_size=1, max_size=9))


@given(loads(), st.integers(1, 40), st.integers(1, 5), st.booleans())
def test_every_request_ends_and_memory_is_never_exceeded(
    load: list[tuple[int, int]], step_tokens: int, max_batch: int, chunked: bool
) -> None:
    budget = Budget(kv_tokens=300, max_batch=max_batch, step_tokens=step_tokens, prefill_tokens=64, chunked=chunked)
    waiting = [View(str(n), length, 0, 0, length + answer) for n, (length, answer) in enumerate(load)]
    running: list[View] = []
    for _ in range(20_000):
        if not running and not waiting:
            return
        plan = plan_step(running, waiting, budget)
        assert plan.chunks, "a step without work would repeat for ever"
        running, waiting = _played(running, waiting, plan)
        assert sum(view.reserved for view in running) <= budget.kv_tokens
        assert all(view.computed <= view.reserved <= view.limit for view in running)
        assert len(running) <= max_batch
    pytest.fail("not all requests ended")


def _played(running: list[View], waiting: list[View], plan: Plan) -> tuple[list[View], list[View]]:
    """Do what the loop does with a plan; a request of which all is computed gets its next token, or ends."""
    preempted = [View(v.id, v.known, 0, 0, v.limit) for v in running if v.id in plan.preempt]
    waiting = preempted + waiting
    moved = [v for v in running if v.id not in plan.preempt]
    moved += [v for v in waiting if v.id in plan.reserve]
    waiting = [v for v in waiting if v.id not in plan.reserve]
    after = []
    for view in moved:
        computed = view.computed + plan.chunks.get(view.id, 0)
        known = view.known + (computed == view.known)
        if known < view.limit:
            after.append(View(view.id, known, computed, plan.reserve.get(view.id, view.reserved), view.limit))
    return after, waiting
