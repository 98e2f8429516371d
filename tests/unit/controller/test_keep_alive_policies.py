"""Keep-alive policies: numbers worked out by hand, and closed forms under Poisson arrivals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from quickthaw_platform.contracts import IdleHistory, Keep
from quickthaw_platform.controller.policies.break_even import PRIOR_GAPS, BreakEvenKeepAlive
from quickthaw_platform.controller.policies.fixed import FixedKeepAlive
from quickthaw_platform.controller.policies.greedy_dual import GreedyDualKeepAlive
from quickthaw_platform.controller.policies.histogram import HistogramKeepAlive

FIXED = 60.0
HOURS = 3600.0
SAMPLES = 100_000
MAX_ERRORS = 4.0
"""Standard errors that a simulated mean may be off."""


def keep_of(policy: HistogramKeepAlive | BreakEvenKeepAlive, gaps: Sequence[float], start_seconds: float = 1.0) -> Keep:
    return policy.keep(IdleHistory(FIXED, gaps, start_seconds))


def colds(keep: Keep, gaps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which gaps ended with no instance there."""
    return np.array([gap > keep.seconds and not keep.wants_one(gap) for gap in gaps])


def idle_seconds(keep: Keep, gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for how long an instance idled in each gap."""
    idle = np.minimum(gaps, keep.seconds)
    if keep.prewarm_after is not None:
        idle = idle + np.clip(gaps, keep.prewarm_after, keep.prewarm_until) - keep.prewarm_after
    return idle


def assert_mean(values: NDArray[np.float64] | NDArray[np.bool_], expected: float) -> None:
    error = float(np.std(values)) / math.sqrt(len(values))
    assert abs(float(np.mean(values)) - expected) <= MAX_ERRORS * error


def exponential(mean: float, count: int = SAMPLES) -> NDArray[np.float64]:
    return np.random.default_rng(7).exponential(mean, count)


class TestKeep:
    def test_one_is_wanted_within_the_window_only(self) -> None:
        keep = Keep(0.0, 10.0, 20.0)
        assert [keep.wants_one(at) for at in (0.0, 9.9, 10.0, 19.9, 20.0)] == [False, False, True, True, False]

    def test_without_a_window_none_is(self) -> None:
        assert not Keep(60.0).wants_one(10.0)


class TestFixed:
    def test_it_keeps_for_the_time_of_the_deploy_whatever_happened(self) -> None:
        assert FixedKeepAlive().keep(IdleHistory(42.0, [1.0] * 100)) == Keep(42.0)

    @pytest.mark.parametrize("rate", [0.01, 0.1])
    def test_under_poisson_arrivals_cold_starts_and_idleness_are_those_of_the_closed_form(self, rate: float) -> None:
        keep = FixedKeepAlive().keep(IdleHistory(FIXED))
        gaps = exponential(1 / rate)
        assert_mean(colds(keep, gaps), math.exp(-rate * FIXED))
        assert_mean(idle_seconds(keep, gaps), (1 - math.exp(-rate * FIXED)) / rate)


class TestGreedyDual:
    def test_it_keeps_without_end(self) -> None:
        assert GreedyDualKeepAlive().keep(IdleHistory(0.0)) == Keep(math.inf)


class TestHistogram:
    def test_few_gaps_tell_nothing(self) -> None:
        assert keep_of(HistogramKeepAlive(), [2.0] * 9) == Keep(FIXED)

    def test_where_the_head_is_short_it_keeps_until_the_tail_and_a_tenth(self) -> None:
        keep = keep_of(HistogramKeepAlive(), [2.0] * 10)
        assert keep.seconds == pytest.approx(2.2)
        assert keep.prewarm_after is None

    def test_where_the_head_is_long_it_goes_and_comes_back(self) -> None:
        """Of 101 gaps from 100 to 200 s the 5th percentile is 105, the 99th 199; a start takes 1 s."""
        keep = keep_of(HistogramKeepAlive(), [200.0 - n for n in range(101)])
        assert keep.seconds == 0
        assert keep.prewarm_after == pytest.approx(0.9 * 105 - 1)
        assert keep.prewarm_until == pytest.approx(1.1 * 199)

    def test_it_does_not_go_for_less_than_four_starts(self) -> None:
        """0.9 * 100 - s >= 4 s holds up to 18 s."""
        gaps = [100.0] * 20
        assert keep_of(HistogramKeepAlive(), gaps, 17.9).prewarm_after == pytest.approx(90 - 17.9)
        assert keep_of(HistogramKeepAlive(), gaps, 18.1).prewarm_after is None

    def test_a_flat_histogram_tells_nothing(self) -> None:
        flat = [0.1 * 144_000 ** (n / 199) for n in range(200)]
        assert keep_of(HistogramKeepAlive(), flat) == Keep(FIXED)

    def test_gaps_without_memory_tell_nothing(self) -> None:
        assert keep_of(HistogramKeepAlive(), list(exponential(10.0, 200))) == Keep(FIXED)

    def test_mostly_out_of_bounds_tells_nothing(self) -> None:
        inside, outside = [2.0] * 10, [5 * HOURS] * 10
        assert keep_of(HistogramKeepAlive(), inside + outside).seconds == pytest.approx(2.2)
        assert keep_of(HistogramKeepAlive(), [*inside, *outside, 5 * HOURS]) == Keep(FIXED)

    def test_under_poisson_arrivals_a_window_costs_what_the_closed_form_says(self) -> None:
        keep = keep_of(HistogramKeepAlive(), [100.0] * 20)
        assert keep.prewarm_after is not None
        rate = 0.01
        left, right = math.exp(-rate * keep.prewarm_after), math.exp(-rate * keep.prewarm_until)
        gaps = exponential(1 / rate)
        assert_mean(colds(keep, gaps), 1 - left + right)
        assert_mean(idle_seconds(keep, gaps), (left - right) / rate)


class TestBreakEven:
    """A start of 1 s is worth 10 idle seconds."""

    def test_without_a_past_it_keeps_for_what_a_start_is_worth(self) -> None:
        assert keep_of(BreakEvenKeepAlive(), [], 2.0) == Keep(20.0)
        assert keep_of(BreakEvenKeepAlive(waiting_value=3.0), [], 2.0) == Keep(6.0)

    def test_a_start_that_takes_no_time_is_worth_nothing(self) -> None:
        assert keep_of(BreakEvenKeepAlive(), [], 0.0) == Keep(0.0)

    @given(gap=st.floats(0, 1e6), start_seconds=st.floats(0.001, 1e3))
    def test_without_a_past_it_costs_at_most_twice_what_knowing_the_future_would(
        self, gap: float, start_seconds: float
    ) -> None:
        price = 10 * start_seconds
        kept = keep_of(BreakEvenKeepAlive(), [], start_seconds).seconds
        cost = gap if gap <= kept else kept + price
        assert cost <= 2 * min(gap, price) * (1 + 1e-9)

    def test_calls_that_come_soon_are_waited_for(self) -> None:
        assert keep_of(BreakEvenKeepAlive(), [8.0] * 100) == Keep(10.0)

    def test_calls_that_come_late_are_not(self) -> None:
        assert keep_of(BreakEvenKeepAlive(), [1000.0] * 100) == Keep(0.0)

    def test_three_gaps_do_not_decide_alone(self) -> None:
        """Keeping 10 s lost 10 in each gap; the prior says it gains 16 * 10 / 4 = 40."""
        assert keep_of(BreakEvenKeepAlive(), [1000.0] * 3) == Keep(10.0)
        assert keep_of(BreakEvenKeepAlive(), [1000.0] * 5) == Keep(0.0)

    def test_it_keeps_until_the_soon_ones_have_come(self) -> None:
        """Half come after 1 s: keeping 1 s gains 500 - 50 - 50, keeping 10 s gains 500 - 50 - 500."""
        assert keep_of(BreakEvenKeepAlive(), [1.0, 1000.0] * 50) == Keep(1.0)

    @given(gaps=st.lists(st.floats(0, 1e4), max_size=30), start_seconds=st.floats(0.01, 100))
    def test_no_other_time_it_could_have_chosen_gains_more(self, gaps: list[float], start_seconds: float) -> None:
        price = 10 * start_seconds

        def gain(kept: float) -> float:
            x = price / (price + kept)
            seen = sum(price * (gap <= kept) - min(gap, kept) for gap in gaps)
            return seen + PRIOR_GAPS * price * x * (1 - x)

        best = max(map(gain, [0.0, price, *gaps]))
        chosen = gain(keep_of(BreakEvenKeepAlive(), gaps, start_seconds).seconds)
        assert chosen == pytest.approx(best, rel=1e-9, abs=1e-6)

    @pytest.mark.parametrize(
        "draw",
        [
            lambda rng, n: rng.exponential(2.0, n),  # soon
            lambda rng, n: rng.exponential(100.0, n),  # late
            lambda rng, n: np.where(rng.random(n) < 0.7, rng.uniform(0, 3, n), rng.uniform(300, 900, n)),  # sessions
            lambda rng, n: rng.lognormal(2.0, 2.0, n),  # a heavy tail
        ],
    )
    def test_a_past_of_200_gaps_brings_it_near_the_best_time_in_hindsight(
        self, draw: Callable[[np.random.Generator, int], NDArray[np.float64]]
    ) -> None:
        rng = np.random.default_rng(11)
        keep = keep_of(BreakEvenKeepAlive(), list(draw(rng, 200)))
        future = draw(rng, SAMPLES)

        def cost(kept: float) -> float:
            return float(np.mean(np.minimum(future, kept) + 10.0 * (future > kept)))

        best = min(cost(kept) for kept in (0.0, *np.geomspace(0.1, 1000.0, 60)))
        assert cost(keep.seconds) <= 1.1 * best
