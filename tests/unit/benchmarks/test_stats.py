"""Order statistics."""

import pytest

from benchmarks.stats import Summary, gaps, median, percentile


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7.0], 99, 7.0),  # one value is every percentile
        ([1.0, 2.0], 50, 1.5),  # between two values
        ([3.0, 1.0, 2.0], 0, 1.0),  # order does not matter
        ([3.0, 1.0, 2.0], 100, 3.0),
        ([0.0, 10.0, 20.0, 30.0, 40.0], 99, 39.6),  # interpolated near the end
    ],
)
def test_percentile(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == pytest.approx(expected)


@pytest.mark.parametrize("percent", [-1, 100.5])
def test_a_percentile_beyond_the_ends_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="not between"):
        percentile([1.0], percent)


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        median([])


def test_gaps_are_one_fewer_than_instants() -> None:
    assert gaps([1.0, 1.5, 4.0]) == [0.5, 2.5]
    assert gaps([1.0]) == []


def test_a_summary_has_the_extremes() -> None:
    summary = Summary.of([2.0, 9.0, 4.0])
    assert (summary.count, summary.p50, summary.least, summary.most) == (3, 4.0, 2.0, 9.0)
    assert summary.p99 == pytest.approx(8.9)
