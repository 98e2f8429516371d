from __future__ import annotations

import pytest

from quickthaw_backends.engines.batching.step_times import REMEMBERED_STEPS, StepTimes


def test_between_known_numbers_it_is_in_proportion() -> None:
    times = StepTimes()
    times.note(1, 0.010)
    times.note(5, 0.018)
    assert times.seconds(1) == pytest.approx(0.010)
    assert times.seconds(2) == pytest.approx(0.012)
    assert times.seconds(5) == pytest.approx(0.018)


def test_more_than_was_ever_tried_is_thought_to_take_as_long_as_the_most_that_was() -> None:
    times = StepTimes()
    times.note(4, 0.01)
    assert times.seconds(9) == pytest.approx(0.01)
    assert times.seconds(3) is None


def test_the_newest_steps_count_most_and_one_that_was_held_up_counts_little() -> None:
    times = StepTimes()
    for _ in range(20):
        times.note(1, 0.01)
    times.note(1, 10.0)
    assert times.seconds(1) == pytest.approx(0.012)
    for _ in range(30):
        times.note(1, 0.02)
    assert times.seconds(1) == pytest.approx(0.02, rel=0.01)


def test_what_was_not_seen_for_long_is_forgotten() -> None:
    times = StepTimes()
    times.note(5, 0.5)
    for _ in range(REMEMBERED_STEPS):
        times.note(1, 0.01)
    assert times.seconds(5) == pytest.approx(0.01)
