from __future__ import annotations

import numpy as np
import pytest

from quickthaw_platform.comparison import curves
from quickthaw_platform.comparison.costs import phases
from quickthaw_platform.comparison.matrices import matrices, numbers_of
from quickthaw_platform.comparison.measuring import LEAST_REPLICATES, replicates_of
from quickthaw_platform.comparison.recording import Backend, Slo
from quickthaw_platform.comparison.statistics.bootstrap import REPLICATES
from quickthaw_platform.comparison.using import Used, mean_of, start_seconds
from quickthaw_platform.traffic.result import RequestResult

SLO = Slo(ttft=1.0, tpot=0.1)


def result(number: int, repeat: int = 0, **fields: object) -> RequestResult:
    given: dict[str, object] = {
        "number": number, "intended": float(number), "sent": number + 0.01, "first_token": number + 0.5,
        "gaps": (0.05, 0.07), "end": number + 0.62, "tokens_in": 10, "tokens_out": 3, "repeat": repeat, "cold": False,
    }  # fmt: skip
    return RequestResult(**(given | fields))  # type: ignore[arg-type]


def test_requests_that_waited_for_one_start_count_one_start() -> None:
    start = {"tier": 0.1, "fork": 0.2, "prefill": 0.3}
    found = start_seconds([
        result(0, cold=True, stages=start | {"queue": 0.0}),
        result(1, cold=True, stages=start | {"queue": 0.2}),  # came later, waited for the same
        result(0, 1, cold=True, stages=start | {"queue": 0.0}),  # another block
        result(2, cold=False),
        result(3, cold=True),  # nobody knows its stages
    ])  # fmt: skip
    assert found == [pytest.approx(0.3), pytest.approx(0.3)]


def test_the_place_of_a_result_is_its_repeat_and_its_arrival() -> None:
    results = [result(1), result(0), result(1, 2, first_token=4.0, end=4.2), result(0, 2, error="boom: x")]
    numbers, times = numbers_of(results)
    found = matrices("a", results, [0, 1, 2], numbers, times, SLO)
    assert found.repeats == (0, 1, 2)
    assert found.sent.tolist() == [[1, 1], [0, 0], [1, 1]]
    assert found.met.tolist()[0] == [1, 1]
    assert found.met.tolist()[2] == [0, 0]  # one failed, one was late
    assert np.isnan(found.ttft).tolist() == [[False, False], [True, True], [True, False]]
    assert found.failures == {"boom": 1}
    assert found.gaps.tolist() == [0.05, 0.07] * 3
    assert sorted(found.gap_cells.tolist()) == [0, 0, 1, 1, 5, 5]


def test_a_slot_is_held_from_the_end_of_the_wait_to_the_end() -> None:
    cold = result(0, cold=True, stages={"queue": 0.01, "tier": 0.2, "prefill": 0.1}, queue=0.21)
    numbers, times = numbers_of([cold])
    assert float(matrices("a", [cold], [0], numbers, times, SLO).held[0, 0]) == pytest.approx(0.62 - 0.01 - 0.21)


def test_a_long_distribution_is_thinned_and_keeps_its_ends() -> None:
    values = np.sort(np.random.default_rng(1).exponential(1, 10_000))
    x, y = curves.distribution(values, 10_001)
    assert len(x) == curves.MOST_POINTS
    assert (x[0], x[-1], y[-1]) == (values[0], values[-1], 10_000 / 10_001)
    assert np.interp(np.log(2), x, y) == pytest.approx(0.5, abs=0.02)


def test_a_hybrid_is_billed_by_use_for_what_is_beyond_its_base() -> None:
    found = Used(
        {"starting/fork": 1.0, "prefill": 20.0, "decode": 20.0, "idle": 78.0, "draining": 1.0}, 10, np.zeros(0)
    )
    assert found.seconds == 120.0
    beyond = phases(found, Backend(name="h", kind="hybrid", always_on=1), 100.0)
    assert sum(beyond.values()) == pytest.approx(20.0)
    assert (beyond["starting"], beyond["draining"]) == (1.0, 1.0)
    assert beyond["busy"] / beyond["idle"] == pytest.approx(40 / 78)
    assert sum(phases(found, Backend(name="s", kind="serverful", always_on=1), 100.0).values()) == 0.0
    assert sum(phases(found, Backend(name="h", kind="hybrid", always_on=2), 200.0).values()) == 0.0


def test_the_start_of_an_endpoint_by_command_is_before_its_block() -> None:
    found = Used({"starting/command": 9.0, "decode": 1.0}, 1, np.zeros(0))
    assert (found.seconds, found.of("starting"), found.of("decode")) == (1.0, 0.0, 1.0)


def test_a_mean_of_few_has_what_interval_it_can() -> None:
    assert mean_of([], 1, 50)[0].value is None
    assert mean_of([2.0], 1, 50)[0].low is None
    found, drawn = mean_of([1.0, 2.0, 3.0], 1, 50)
    assert (found.low or 0) < 2.0 < (found.high or 0)
    assert len(drawn) == 50


def test_many_arrivals_are_resampled_less_often() -> None:
    assert replicates_of(0) == replicates_of(1000) == REPLICATES
    assert LEAST_REPLICATES < replicates_of(100_000) < REPLICATES
    assert replicates_of(10**7) == LEAST_REPLICATES
