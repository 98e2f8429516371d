"""How many instances a trace of concurrency asks for, worked out by hand: one sample a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw.types import FunctionSpec
from quickthaw_platform.controller.scaling.plan import PANIC_SECONDS, STABLE_SECONDS, Sample, sample, wanted


def make_spec(**fields: Any) -> FunctionSpec:
    full = {"name": "f", "model": "m", "concurrency": 1, "max_instances": 100, "target_utilisation": 1.0, **fields}
    return FunctionSpec.model_validate(full)


def follow(trace: Sequence[int], spec: FunctionSpec, first_ready: int = 1) -> list[int]:
    """Return what is wanted at each second of the trace, where what was wanted before is ready by then."""
    samples: list[Sample] = []
    answers: list[int] = []
    for concurrency in trace:
        samples = [replace(s, seconds_ago=s.seconds_ago + 1) for s in samples]
        ready = max(answers[-1] if answers else 0, first_ready)
        samples.append(sample(samples, concurrency, spec, ready))
        answers.append(wanted(samples, spec))
    return answers


@pytest.mark.parametrize(
    ("spec", "number"),
    [
        (make_spec(), 4),
        (make_spec(target_utilisation=0.7), 6),  # 4 / 0.7 = 5.7
        (make_spec(concurrency=8), 1),
        (make_spec(concurrency=2, target_utilisation=0.5), 4),
        (make_spec(max_instances=3), 3),
        (make_spec(min_instances=9), 9),
    ],
)
def test_a_steady_load_gets_what_it_needs_at_the_target(spec: FunctionSpec, number: int) -> None:
    assert follow([4] * 100, spec, first_ready=4)[61:] == [number] * 39


def test_a_slow_rise_is_followed_over_the_stable_window() -> None:
    """After 30 s of 10 calls the average over 60 s is 5; with 10 instances ready nothing panics."""
    answers = follow([10] * 61, make_spec(), first_ready=10)
    assert answers[30] == 5
    assert answers[60] == 10


def test_a_burst_is_followed_within_the_panic_window() -> None:
    """After t seconds of 20 calls the average over 6 s is 20 t / 6; 4 after the first are more than twice 1."""
    assert follow([20] * 8, make_spec()) == [0, 4, 7, 10, 14, 17, 20, 20]


@pytest.mark.parametrize(("ready", "panics"), [(10, True), (11, False)])
def test_it_panics_when_twice_as_many_as_are_ready_are_asked_for(ready: int, panics: bool) -> None:
    samples = [Sample(PANIC_SECONDS, 20)]
    samples.append(sample(samples, 20, make_spec(), ready))
    assert samples[-1] == Sample(0.0, 20, 20, panics)
    assert wanted(samples, make_spec()) == (20 if panics else 2)  # over 60 s it is 20 * 6 / 60


def test_nothing_shrinks_until_the_panic_is_a_stable_window_old() -> None:
    """It is sampled at 1 s; the most that was asked for after it are 101 / 6 = 16.8."""
    answers = follow([20] * 5 + [1] * 70, make_spec())
    assert answers[5:62] == [17] * 57
    assert answers[62:66] == [2, 2, 2, 1]


def test_after_a_steady_load_it_decays_with_the_average() -> None:
    """t seconds after 10 calls became 1, the average is (10 * (60 - t) + t) / 60."""
    answers = follow([10] * 61 + [1] * 61, make_spec(), first_ready=10)[61:]
    assert [answers[t] for t in (0, 20, 40, 60)] == [10, 7, 4, 1]


def test_one_short_call_asks_for_one_instance_only() -> None:
    assert max(follow([1, 1, 1, 0, 0], make_spec(target_utilisation=0.7))) == 1


def test_what_nobody_calls_is_left_to_keep_alive() -> None:
    assert follow([20] * 10 + [0], make_spec())[-1] == 0
    assert follow([20] * 10 + [0], make_spec(min_instances=2))[-1] == 2
    assert wanted([], make_spec(min_instances=2)) == 2


def test_samples_before_the_window_do_not_count() -> None:
    old = [Sample(1000.0, 50, 50, True), Sample(STABLE_SECONDS + 1, 1), Sample(0.0, 1)]
    assert wanted(old, make_spec()) == 1


@given(
    trace=st.lists(st.integers(0, 10_000), max_size=80),
    concurrency=st.integers(1, 64),
    target=st.floats(0.01, 1.0),
    bounds=st.tuples(st.integers(0, 50), st.integers(1, 50)).filter(lambda pair: pair[0] <= pair[1]),
)
def test_the_bounds_always_hold(trace: list[int], concurrency: int, target: float, bounds: tuple[int, int]) -> None:
    least, most = bounds
    spec = make_spec(concurrency=concurrency, target_utilisation=target, min_instances=least, max_instances=most)
    assert all(least <= number <= most for number in follow(trace, spec))


@given(load=st.integers(1, 500), concurrency=st.integers(1, 8), target=st.floats(0.1, 1.0))
def test_what_a_steady_load_gets_holds_it_at_the_target(load: int, concurrency: int, target: float) -> None:
    spec = make_spec(concurrency=concurrency, target_utilisation=target, max_instances=1000)
    number = follow([load] * 62, spec)[-1]
    assert number == 1000 or load <= number * concurrency * target * (1 + 1e-9)
