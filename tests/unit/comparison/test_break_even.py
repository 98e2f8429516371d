from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from quickthaw_platform.comparison.economics import break_even, hybrid
from quickthaw_platform.comparison.economics.break_even import (
    Floats,
    Load,
    Price,
    crossing,
    most_rate,
    rates_up_to,
    seconds_of_request,
    stretched,
)
from quickthaw_platform.comparison.economics.renewal import per_request
from tests.made_up import examples

ALL_ALIKE = Price(1.0, 1.0, 1.0)


def cost_of_request(rate: ArrayLike, load: Load, price: Price) -> Floats:
    return break_even.cost_of_request(seconds_of_request(rate, load), load.service, price)


def test_at_the_crossing_calls_cost_what_servers_do() -> None:
    load = Load(0.5, 2.0, 10.0, 4.0)
    rates = rates_up_to(most_rate(0.5, 8))
    found = crossing(rates, cost_of_request(rates, load, ALL_ALIKE), servers=0.5)
    assert float(cost_of_request(found, load, ALL_ALIKE)) == pytest.approx(0.5 / found, rel=0.005)
    assert float(cost_of_request(found * 0.8, load, ALL_ALIKE)) < 0.5 / (found * 0.8)
    assert float(cost_of_request(found * 1.25, load, ALL_ALIKE)) > 0.5 / (found * 1.25)


def test_the_more_servers_cost_the_later_they_pay() -> None:
    load = Load(0.5, 2.0, 10.0, 2.0)
    rates = rates_up_to(10.0)
    calls = cost_of_request(rates, load, ALL_ALIKE)
    found = [crossing(rates, calls, servers) for servers in (0.2, 0.5, 0.9)]
    assert found == sorted(found)


def test_calls_that_cost_no_more_by_the_second_never_cost_more() -> None:
    rates = rates_up_to(10.0)
    assert crossing(rates, cost_of_request(rates, Load(0.5, 2.0, 10.0, 4.0), ALL_ALIKE), servers=1.1) == np.inf
    assert crossing(rates, cost_of_request(rates, Load(0.5, 2.0, 10.0, 4.0), ALL_ALIKE), servers=0.0) == 0.0


def test_each_phase_has_its_price() -> None:
    load = Load(0.5, 2.0, 10.0, 1.0)
    used = per_request(0.1, 1.0, 0.5, 2.0, 10.0)
    price = Price(starting=0.0, busy=3.0, idle=0.0, request_second=2.0, request=7.0)
    assert float(cost_of_request(0.1, load, price)) == pytest.approx(3 * float(used.busy) + 2 * 0.5 + 7)


def test_streams_that_slow_each_other_fill_an_instance_sooner() -> None:
    assert most_rate(0.5, 8) == pytest.approx(12.8)
    assert most_rate(0.5, 8, 0.1) < most_rate(0.5, 8)


def test_the_lower_rates_are_seen_at_which_a_long_keep_alive_still_pays() -> None:
    """An instance that is kept for a day is hardly ever gone at a request a minute: calls pay below one a day."""
    load, day = Load(0.5, 2.0, 86_400.0, 1.0), 86_402.5
    assert crossing(rates_up_to(10.0), cost_of_request(rates_up_to(10.0), load, ALL_ALIKE), servers=0.5) == 0.0
    rates = rates_up_to(10.0, day)
    found = crossing(rates, cost_of_request(rates, load, ALL_ALIKE), servers=0.5)
    assert found == pytest.approx(np.log(2) / day, rel=0.01)
    assert np.allclose(rates_up_to(10.0, 1.0), rates_up_to(10.0))


def test_a_request_takes_longer_the_more_of_them_share_an_instance() -> None:
    seconds = stretched([1e-6, 0.5, 1.0, 50.0], alone=1.0, slowdown=0.2, crowding=1.5, concurrency=4)
    assert seconds[0] == pytest.approx(1.0)
    assert seconds[1] == pytest.approx(1 + 0.2 * 1.5 * 0.5 * seconds[1])
    assert seconds[1] < seconds[2] < seconds[3] == pytest.approx(1 + 0.2 * 3)
    assert stretched(5.0, 1.0, 0.0, 1.5, 4) == pytest.approx(1.0)


def test_demand_is_counted_in_whole_instances() -> None:
    need = hybrid.wanted(np.asarray([0.0, 0.5, 3.0]), np.asarray([2.0, 1.0, 4.0]), 5.0, 1.0, concurrency=1)
    assert need.tolist() == [2, 1, 0, 1, 0]
    assert hybrid.wanted(np.asarray([0.0, 0.5]), np.asarray([2.0, 1.0]), 3.0, 1.0, concurrency=2).tolist() == [1, 1, 0]


def test_what_is_beyond_the_base_is_started_kept_and_started_again() -> None:
    need = np.asarray([0, 2, 0, 0, 0, 1, 1, 0], dtype=np.int64)
    assert hybrid.overflow(need, 0, 2.0, 1.0) == hybrid.Overflow(needed=4.0, kept=5.0, starts=3)
    assert hybrid.overflow(need, 1, 0.0, 1.0) == hybrid.Overflow(needed=1.0, kept=0.0, starts=1)
    assert hybrid.overflow(need, 2, 5.0, 1.0) == hybrid.Overflow(needed=0.0, kept=0.0, starts=0)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=50), st.integers(0, 6), st.floats(0, 20))
@settings(max_examples=examples(100))
def test_kept_instances_are_those_needed_within_the_keep_alive(needs: list[int], base: int, kept: float) -> None:
    need = np.asarray(needs, dtype=np.int64)
    found = hybrid.overflow(need, base, kept, 1.0)
    beyond = [max(0, n - base) for n in needs]
    there = [max(beyond[max(0, i - round(kept)) : i + 1]) for i in range(len(needs))]
    assert found.needed == sum(beyond)
    assert found.kept == sum(there) - sum(beyond)
    assert hybrid.overflow(need, base + 1, kept, 1.0).needed <= found.needed
