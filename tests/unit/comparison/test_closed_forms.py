"""The closed forms against each other, against drawn arrivals and against the simulator."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from quickthaw_platform.comparison.economics import closed
from quickthaw_platform.comparison.economics.renewal import Gaps, PerRequest, per_request
from quickthaw_platform.simulator.engine import simulate
from quickthaw_platform.simulator.outcome import Outcome, Phase
from tests.made_up import examples
from tests.unit.simulator.scenarios import DEVICE, scenario

SERVICE = 0.5
NUMBERS = st.floats(0.01, 10)


def simulated(
    rate: float,
    cv: float,
    start: float,
    keep_alive: float,
    count: int = 40_000,
    concurrency: int = 1024,
    seed: int = 1,
    service: float = SERVICE,
) -> Outcome:
    """One function with one instance at most, whose calls take `service` and whose starts take `start`."""
    device = DEVICE | {"prefill_tokens_per_second": 1e12, "decode_tokens_per_second": 10 / service}
    device["init_seconds"] = dict.fromkeys(("dram", "disk", "remote"), start)
    node = {"count": 1, "bandwidths": dict.fromkeys(("dram", "disk", "remote"), 10**18)}
    arrivals = {"kind": "poisson", "rate": rate} if cv == 1 else {"kind": "gamma", "rate": rate, "cv": cv}
    function = {"keep_alive": keep_alive, "concurrency": concurrency, "queue_size": 1_000_000}
    given = scenario(
        devices={"gpu": device},
        node=node,
        invocations=count,
        function=function,
        arrivals=arrivals,
        stop=0.0,
        round=min(0.5, keep_alive or 0.01),
    )
    outcome = simulate(given, "startup-time", "fixed", seed=seed)
    assert outcome.ended.total() == outcome.ended["succeeded"] == count
    return outcome


CASES = [
    (0.02, 1.0, 2.0, 10.0),  # seldom: nearly all are cold
    (0.1, 1.0, 2.0, 10.0),
    (0.5, 1.0, 2.0, 10.0),
    (2.0, 1.0, 2.0, 5.0),  # calls overlap
    (0.2, 1.0, 8.0, 3.0),  # a start is longer than the keep-alive and gathers calls
    (0.1, 4.0, 2.0, 10.0),  # bursts
    (0.5, 4.0, 2.0, 10.0),
    (0.5, 4.0, 6.0, 5.0),
    (0.1, 2.0, 2.0, 0.5),  # hardly anything is kept
    (0.1, 0.3, 2.0, 11.0),  # like a clock
]


@pytest.mark.parametrize(("rate", "cv", "start", "keep_alive"), CASES)
def test_the_simulator_spends_instance_seconds_as_the_renewal_form_says(
    rate: float, cv: float, start: float, keep_alive: float
) -> None:
    """Within 2%, each phase that is worth speaking of and the sum."""
    count = 20_000 if cv > 2 else 8_000
    outcomes = [simulated(rate, cv, start, keep_alive, count, seed=seed) for seed in range(3 if cv > 2 else 1)]
    calls = count * len(outcomes)
    found = {phase: sum(o.phases[phase] for o in outcomes) / calls for phase in Phase}
    expected = per_request(rate, cv, SERVICE, start, keep_alive)
    assert sum(found.values()) == pytest.approx(float(expected.seconds), rel=0.02)
    for phase, value in (
        (Phase.STARTING, expected.starting), (Phase.SERVING, expected.busy), (Phase.IDLE, expected.idle)
    ):  # fmt: skip
        assert found[phase] == pytest.approx(float(value), rel=0.02, abs=0.02 * float(expected.seconds))
    starts = sum(sum(o.ways.values()) for o in outcomes) / calls
    assert starts == pytest.approx(float(expected.starts), rel=0.02, abs=4 * math.sqrt(starts / calls))
    waited = sum(len(o.startup) for o in outcomes) / calls
    assert waited == pytest.approx(float(expected.cold), rel=0.02, abs=8 * math.sqrt(waited / calls))


@pytest.mark.parametrize(
    ("rate", "cv", "service", "start"),
    [
        (0.002, 1.0, 0.5, 2.0),
        (0.01, 1.0, 0.5, 1.0),
        (0.01, 3.0, 0.001, 0.05),  # most gaps of a burst are very short, so its calls must be shorter still
    ],
)
def test_the_simple_form_is_within_2_percent_of_the_simulator_where_nothing_overlaps(
    rate: float, cv: float, service: float, start: float
) -> None:
    count = 8_000 if cv > 1 else 2_000  # nearly all calls cost the same where they do not come in bursts
    outcomes = [simulated(rate, cv, start, 20.0, count, seed=seed, service=service) for seed in range(3)]
    found = sum(sum(o.phases.values()) for o in outcomes) / (3 * count)
    assert found == pytest.approx(closed.seconds_of_request(rate, service, start, 20.0, cv), rel=0.02)


def test_the_simple_form_is_wrong_where_calls_overlap_and_the_renewal_form_is_not() -> None:
    found = sum(simulated(2.0, 1.0, 2.0, 5.0, 20_000).phases.values()) / 20_000
    assert found == pytest.approx(float(per_request(2.0, 1.0, SERVICE, 2.0, 5.0).seconds), rel=0.02)
    assert closed.seconds_of_request(2.0, SERVICE, 2.0, 5.0) > 1.5 * found


def test_one_by_one_is_what_the_simulator_does_without_concurrency() -> None:
    for rate in (0.2, 1.0):
        outcome = simulated(rate, 1.0, 2.0, 3.0, 20_000, concurrency=1)
        starting, busy, idle = closed.poisson_one_by_one(rate, SERVICE, 2.0, 3.0)
        assert outcome.phases[Phase.STARTING] / 20_000 == pytest.approx(starting, rel=0.05)
        assert outcome.phases[Phase.SERVING] / 20_000 == pytest.approx(busy, rel=0.001)
        assert outcome.phases[Phase.IDLE] / 20_000 == pytest.approx(idle, rel=0.02)


@given(NUMBERS, st.floats(0.01, 3), st.floats(0.01, 5), NUMBERS)
@settings(max_examples=examples(60))
def test_with_a_cv_of_1_it_is_the_exact_form_of_poisson(
    rate: float, service: float, start: float, keep_alive: float
) -> None:
    assume(rate * start <= 15)  # so many requests in a start are counted in 64 steps of it
    found = per_request(rate, 1.0, service, start, keep_alive)
    starting, busy, idle = closed.poisson_together(rate, service, start, keep_alive)
    whole = starting + busy + idle
    assert float(found.seconds) == pytest.approx(whole, rel=0.01)
    assert float(found.starting) == pytest.approx(starting, rel=0.01, abs=1e-3 * whole)


@given(NUMBERS, st.floats(0.05, 10), st.floats(0, 3), st.floats(0, 3), st.floats(0, 100))
@settings(max_examples=examples(200))
def test_no_more_than_all_the_time_is_spent_and_longer_keeping_starts_less(
    rate: float, cv: float, service: float, start: float, keep_alive: float
) -> None:
    found = per_request(rate, cv, service, start, keep_alive)
    for part in (found.starts, found.starting, found.busy, found.idle, found.cold):
        assert np.isfinite(part)
        assert float(part) >= -1e-9
    assert float(found.seconds) * rate <= 1.05
    assert float(found.cold) <= 1 + 1e-6
    longer = per_request(rate, cv, service, start, keep_alive + 10)
    assert float(longer.starts) <= float(found.starts) * (1 + 1e-6) + 1e-12


def test_arrays_broadcast_and_each_is_as_alone() -> None:
    rates, cvs = np.asarray([0.1, 1.0, 3.0]), np.asarray([[1.0], [4.0]])
    found = per_request(rates, cvs, 0.5, 2.0, 10.0)
    assert found.seconds.shape == (2, 3)
    assert float(found.seconds[1, 2]) == float(per_request(3.0, 4.0, 0.5, 2.0, 10.0).seconds)


def test_drawn_gaps_agree_with_their_moments() -> None:
    gaps = Gaps(np.asarray(0.5), np.asarray(3.0))
    drawn = np.random.default_rng(1).gamma(1 / 9, 9 / 0.5, 400_000)
    assert float(gaps.longer(np.asarray(4.0))) == pytest.approx((drawn > 4).mean(), rel=0.02)
    assert float(gaps.limited(np.asarray(4.0))) == pytest.approx(np.minimum(drawn, 4).mean(), rel=0.02)
    assert float(gaps.limited(np.asarray(1e9))) == pytest.approx(2.0)


def test_without_a_start_nothing_gathers() -> None:
    found: PerRequest = per_request(0.5, 2.0, 0.5, 0.0, 4.0)
    gaps = Gaps(np.asarray(0.5), np.asarray(2.0))
    assert float(found.starts) == pytest.approx(float(gaps.longer(np.asarray(4.5))))
    assert float(found.seconds) == pytest.approx(float(gaps.limited(np.asarray(4.5))))


def test_more_than_one_instance_can_serve_one_by_one_is_refused() -> None:
    with pytest.raises(ValueError, match="one by one"):
        closed.poisson_one_by_one(2.0, 0.5, 1.0, 1.0)
    assert closed.cost_always_on(2.0, 0.001, 3) == pytest.approx(0.0015)
    assert closed.seconds_of_request(0.1, 1.0, 5.0, 20.0) == pytest.approx(
        1 + math.exp(-2) * 5 + 10 * (1 - math.exp(-2))
    )
