from __future__ import annotations

import pytest

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.numbers import duration, interval, money, percent, plain, size


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1_234_567.0, "1,230,000"),  # three figures, no exponent
        (999.9, "1,000"),
        (12.34, "12.3"),
        (1.0, "1"),  # no zeros behind the point
        (0.000123, "0.000123"),
        (-0.5, "-0.5"),
        (float("inf"), "∞"),
        (float("nan"), "–"),
    ],
)
def test_a_number_has_three_figures_and_no_exponent(value: float, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (0.9731, "97.3 %"),
        (0.99953, "99.95 %"),  # the second decimal counts there
        (0.999_999, "99.99 %"),  # never rounded up to all
        (1.0, "100 %"),
        (0.0, "0 %"),
        (0.000_1, "<0.1 %"),  # never rounded down to nothing
    ],
)
def test_a_percentage_is_neither_rounded_to_all_nor_to_nothing(part: float, text: str) -> None:
    assert percent(part) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0123, "12.3 ms"), (1.5, "1.5 s"), (300, "5 min"), (7200, "2 h"), (0, "0 ms")]
)
def test_a_duration_has_a_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (0.2, "USD", "$0.20"),
        (2.1, "EUR", "€2.10"),
        (520, "USD", "$520"),  # no cents behind three figures
        (28.951, "USD", "$28.95"),  # and no wrong ones
        (0.000123, "USD", "$0.000123"),
        (3, "RUB", "3.00 RUB"),  # no sign that people know
    ],
)
def test_money_has_cents_and_its_currency(amount: float, currency: str, text: str) -> None:
    assert money(amount, currency) == text


def test_bytes_have_a_unit_that_fits() -> None:
    assert [size(3 * 2**30), size(2**20), size(12)] == ["3 GiB", "1 MiB", "12 B"]


def test_an_interval_says_what_is_missing() -> None:
    assert interval(Estimate(value=1.35, low=1.08, high=1.62, count=9)) == "1.35 [1.08, 1.62]"
    assert interval(Estimate(value=1.35, count=9)) == "1.35"
    assert interval(Estimate(count=57, needed=368)) == "too few (n = 57, 368 needed)"
    assert interval(Estimate()) == "–"
