"""Moving averages that absurd measurements do not spoil."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw_platform.averages import Average

ABSURD = (0.0, -1.0, math.nan, math.inf, -math.inf)


@pytest.mark.parametrize("value", ABSURD)
def test_what_is_no_positive_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Average.of(value)
    with pytest.raises(ValueError, match="positive"):
        Average.of(1.0).with_sample(value)


def test_one_outlier_moves_it_little() -> None:
    average = Average.of(1.0)
    for _ in range(20):
        average = average.with_sample(1.0)
    assert average.with_sample(1e18).value < 1.1


def test_it_follows_a_lasting_change_within_some_measurements() -> None:
    average = Average.of(1.0)
    for _ in range(50):
        average = average.with_sample(1.0)
    for _ in range(20):
        average = average.with_sample(10.0)
    assert 7 < average.value < 12


@given(st.lists(st.floats(1e-6, 1e12), min_size=1, max_size=30))
def test_it_stays_within_what_was_measured_and_survives_storage(values: list[float]) -> None:
    average = Average.of(values[0])
    for value in values[1:]:
        average = average.with_sample(value)
    assert min(values) * 0.999 <= average.value <= max(values) * 1.001
    again = Average.parse(average.to_text())
    assert math.isclose(again.value, average.value, rel_tol=1e-6)
    assert again.count == len(values)


@pytest.mark.parametrize("text", ["", "1 2", "nan 0.1 3", "1e18 0.1 3", "a b c"])
def test_what_was_not_stored_by_it_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Average.parse(text)
