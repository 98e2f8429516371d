from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.statistics import bootstrap, order, paired, trend
from quickthaw_platform.comparison.statistics.bootstrap import Floats, Windows
from tests.made_up import examples

SECONDS = 300.0


def bursts(rng: np.random.Generator, seconds: float = SECONDS) -> tuple[Floats, Floats]:
    """Return times and latencies of traffic in bursts: those of a burst share what makes them slow. The mean is 2."""
    begins = rng.uniform(0, seconds, rng.poisson(seconds / 6))
    sizes = rng.geometric(0.25, len(begins))
    times = np.repeat(begins, sizes) + rng.exponential(0.3, sizes.sum())
    shared = np.repeat(rng.exponential(1.0, len(begins)), sizes)
    order = np.argsort(times)
    return times[order], (shared + rng.exponential(1.0, len(times)))[order]


def resampled(times: Floats, width: float = 12.0, seed: int = 1, replicates: int = 300) -> bootstrap.Resampling:
    return Windows.draw(SECONDS, width, seed, replicates).over(times)


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    times = np.linspace(0, 299, 50)
    assert np.array_equal(resampled(times).weights, resampled(times).weights)
    assert not np.array_equal(resampled(times).weights, resampled(times, seed=2).weights)


def test_every_time_of_the_block_is_covered_equally_often_at_its_ends_too() -> None:
    weights = resampled(np.linspace(0, SECONDS, 61)[:-1], replicates=4000).weights
    assert weights.mean(axis=0) == pytest.approx(np.ones(60), abs=0.07)
    assert weights.min() == 0
    assert np.array_equal(weights, weights.round())


@given(st.lists(st.floats(0, SECONDS), min_size=1, max_size=40), st.integers(0, 10))
@settings(max_examples=examples(50))
def test_windows_cover_what_lies_in_them(times: list[float], seed: int) -> None:
    at = np.sort(np.asarray(times))
    windows = Windows.draw(SECONDS, 50.0, seed, 5)
    inside = np.minimum(at, np.nextafter(SECONDS, 0))
    expected = ((inside - windows.starts[:, :, None]) % SECONDS < 50.0).sum(axis=1)
    assert np.abs(windows.over(at).weights - expected).max() <= 1  # a time on the very edge may fall on either side
    assert (windows.over(at).weights == expected).mean() > 0.9


def test_a_window_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Windows.draw(10.0, 20.0, 1)


@given(st.floats(1, 1e5), st.floats(0, 1e5))
def test_windows_are_neither_the_whole_block_nor_a_moment(seconds: float, memory: float) -> None:
    assert seconds / 31 < bootstrap.window_seconds(seconds, memory) < seconds / 5


def test_the_bootstrap_of_a_mean_covers_it_as_often_as_it_says() -> None:
    """95% intervals of a bursty traffic; 300 runs leave a deviation of 1.3%, and so few bursts are skewed."""
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(300):
        times, values = bursts(rng)
        resampling = resampled(times)
        low, high = resampling.interval(resampling.mean(values[None], "a")) or (0, 0)
        hits += low <= 2.0 <= high
    assert 0.89 <= hits / 300 <= 0.98


def test_resampling_single_requests_would_not_cover_bursts() -> None:
    """What the windows are for: with very short ones each request stands for itself."""
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(100):
        times, values = bursts(rng)
        resampling = resampled(times, width=0.3, replicates=100)
        low, high = resampling.interval(resampling.mean(values[None], "a")) or (0, 0)
        hits += low <= 2.0 <= high
    assert hits / 100 < 0.87


def test_the_variance_over_repeats_is_that_of_their_mean() -> None:
    rng = np.random.default_rng(3)
    shifts = rng.normal(0, 1, (200, 5))
    times = np.linspace(1, 299, 200)
    found = [
        resampled(times, seed=seed).mean(np.repeat(shift[:, None], 200, axis=1), "a").var()
        for seed, shift in enumerate(shifts)
    ]
    assert np.mean(found) == pytest.approx(1 / 5, rel=0.12)


def test_a_quantile_of_replicates_is_the_weighted_one() -> None:
    rng = np.random.default_rng(5)
    times, values = np.sort(rng.uniform(0, SECONDS, 30)), rng.exponential(1, (1, 30))
    resampling = resampled(times, replicates=20)
    found = resampling.quantile(values, 0.9, "a")
    for weights, value in zip(resampling.weights, found, strict=True):
        repeated = np.repeat(values[0], weights.astype(int))
        assert value == np.quantile(repeated, 0.9, method="inverted_cdf")


def test_quantiles_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    values = rng.exponential(1, (3, 40))
    resampling = resampled(np.linspace(0, 299, 40))
    whole = resampling.quantile(values, 0.5, "a")
    monkeypatch.setattr(bootstrap, "MOST_WEIGHTS", 500)
    assert np.array_equal(resampling.quantile(values, 0.5, "a"), whole)


def test_nothing_has_no_interval_and_what_is_no_number_is_no_figure() -> None:
    resampling = resampled(np.linspace(0, 299, 4))
    nothing = np.full((2, 4), np.nan)
    assert np.isnan(resampling.quantile(nothing, 0.5, "a")).all()
    assert np.isnan(resampling.mean(nothing, "a")).all()
    assert resampling.interval(resampling.mean(nothing, "a")) is None
    assert resampling.estimate(math.nan, np.zeros(0), 0) == Estimate()
    assert resampling.estimate(1.0, np.asarray([0.5, 2.0] * 50), 3, (0.6, 1.5)) == Estimate(
        value=1.0, low=0.6, high=1.5, count=3
    )


@pytest.mark.parametrize(("q", "count"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368)])
def test_so_many_values_carry_a_quantile_and_one_fewer_does_not(q: float, count: int) -> None:
    values = np.arange(count, dtype=float)
    assert order.needed(q) == count
    assert order.quantile(values, q).value is not None
    assert order.quantile(values[:-1], q) == Estimate(count=count - 1, needed=count)


def test_no_values_have_no_quantile() -> None:
    assert order.quantile(np.zeros(0), 0.5) == Estimate()


@pytest.mark.parametrize("q", [0.5, 0.9, 0.95, 0.99])
def test_order_statistics_enclose_the_quantile_as_often_as_they_say(q: float) -> None:
    """Exact coverage by the binomial, from the ranks that are taken: never below 95%, and not all of the time."""
    for count in (order.needed(q), 500, 3000):
        found = order.quantile(np.arange(1, count + 1, dtype=float), q)
        assert found.low is not None
        assert found.high is not None
        coverage = binom.cdf(found.high - 1, count, q) - binom.cdf(found.low - 1, count, q)
        assert 0.95 <= coverage < 0.999


def test_dependent_values_need_a_design_effect_to_be_covered() -> None:
    rng = np.random.default_rng(11)
    truth = 3.8897  # 90% of the sum of two exponentials of mean 1
    plain = adjusted = 0
    for _ in range(200):
        times, values = bursts(rng)
        below = (values[None] <= np.quantile(values, 0.9)).astype(float)
        effect = order.design_effect(resampled(times), below, np.ones_like(below), "a")
        for_plain, for_adjusted = order.quantile(values, 0.9), order.quantile(values, 0.9, effect=effect)
        plain += _holds(for_plain, truth)
        adjusted += for_adjusted.needed is not None or _holds(for_adjusted, truth)
    assert plain / 200 < 0.9
    assert 0.9 <= adjusted / 200 <= 1.0


def _holds(found: Estimate, value: float) -> bool:
    return found.low is not None and found.high is not None and found.low <= value <= found.high


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=500), st.sampled_from([0.5, 0.9, 0.99]))
def test_bounds_enclose_their_quantile(values: list[float], q: float) -> None:
    found = order.quantile(np.asarray(values), q)
    if found.value is not None and found.low is not None and found.high is not None:
        assert found.low <= found.value <= found.high
        assert found.value == np.quantile(values, q, method="inverted_cdf")
    else:
        assert found.needed is not None
        assert found.needed > len(values)


def two(rng: np.random.Generator, slower: float) -> tuple[bootstrap.Resampling, paired.Sample, paired.Sample]:
    times, values = bursts(rng)
    first = np.stack([values + rng.normal(slower, 0.1, len(times)) for _ in range(3)])
    second = np.stack([values + rng.normal(0, 0.1, len(times)) for _ in range(3)])
    return resampled(times), paired.Sample(first, "a"), paired.Sample(second, "b")


def test_pairs_show_what_bursts_would_hide() -> None:
    resampling, first, second = two(np.random.default_rng(2), slower=0.1)
    found = paired.mean_difference(resampling, first, second)
    assert found.value == pytest.approx(0.1, abs=0.03)
    assert paired.verdict(found, None) == "higher"
    alone = resampling.interval(resampling.mean(first.values, "a"))
    assert alone is not None
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low < (alone[1] - alone[0]) / 5


def test_a_difference_below_the_noise_floor_is_none() -> None:
    resampling, first, second = two(np.random.default_rng(2), slower=0.1)
    found = paired.mean_difference(resampling, first, second)
    assert paired.verdict(found, 0.2) == "none"
    assert paired.verdict(Estimate(value=-0.3, low=-0.4, high=-0.25), 0.2) == "lower"
    assert paired.verdict(Estimate(value=0.3), 0.2) == "unknown"


def test_equal_backends_differ_as_seldom_as_the_interval_says() -> None:
    rng = np.random.default_rng(4)
    found = [paired.verdict(paired.mean_difference(*two(rng, 0.0)), None) for _ in range(150)]
    assert found.count("none") / 150 >= 0.88


def test_a_request_that_one_backend_failed_is_left_out_of_both() -> None:
    resampling, first, second = two(np.random.default_rng(2), slower=0.0)
    first.values[:, 0] = np.nan
    second.values[:, 0] = 1e6
    found = paired.mean_difference(resampling, first, second)
    assert abs(found.value or 0) < 0.1
    assert found.count == first.values.shape[1] - 1


def test_a_difference_of_medians_and_of_nothing() -> None:
    resampling, first, second = two(np.random.default_rng(2), slower=0.5)
    assert paired.median_difference(resampling, first, second).value == pytest.approx(0.5, abs=0.15)
    nothing = paired.Sample(np.full_like(first.values, np.nan), "c")
    assert paired.median_difference(resampling, first, nothing) == Estimate()
    assert paired.mean_difference(resampling, first, nothing) == Estimate()


def test_the_noise_floor_is_the_farther_end() -> None:
    assert paired.noise_floor(Estimate(value=0.1, low=-0.3, high=0.2)) == 0.3
    assert paired.noise_floor(Estimate(value=0.1)) is None


def test_a_queue_that_grows_is_seen_and_one_that_fluctuates_is_not() -> None:
    rng = np.random.default_rng(1)
    arrived = np.sort(rng.uniform(0, SECONDS, 400))
    late = np.maximum.accumulate(arrived + 1.0) + np.arange(400) * 0.3
    growing = trend.slope(*trend.present(arrived, late, SECONDS))
    steady = trend.slope(*trend.present(arrived, arrived + rng.exponential(1, 400), SECONDS))
    assert growing is not None
    assert growing.grows
    assert steady is not None
    assert not steady.grows


def test_how_many_are_present_is_littles_law() -> None:
    arrived = np.asarray([0.0, 10.0, 15.0])
    _, found = trend.present(arrived, arrived + 10.0, 40.0, bins=4)
    assert found.tolist() == [1.0, 1.5, 0.5, 0.0]


def test_a_trend_of_too_little_or_of_constants_is_none() -> None:
    assert trend.slope(np.arange(5.0), np.arange(5.0)) is None
    constant = trend.slope(np.arange(10.0), np.ones(10))
    assert constant is not None
    assert not constant.grows
    assert constant.estimate() == Estimate(value=0.0, low=0.0, high=0.0, count=10)


def test_bins_hold_means_and_empty_ones_nothing() -> None:
    middles, means = trend.binned(np.asarray([0.0, 1.0, 9.0, 10.0]), np.asarray([1.0, 3.0, np.nan, 5.0]), 10.0, bins=5)
    assert middles.tolist() == [1.0, 3.0, 5.0, 7.0, 9.0]
    assert means.tolist()[0] == 2.0
    assert np.isnan(means[1:4]).all()
    assert means[4] == 5.0
