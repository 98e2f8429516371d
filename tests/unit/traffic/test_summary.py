from __future__ import annotations

import io
import json
import math

import pytest
from rich.console import Console

from quickthaw_platform.traffic import report
from quickthaw_platform.traffic.generator import LoadOutcome, lag_p99
from quickthaw_platform.traffic.named import traffic
from quickthaw_platform.traffic.percentiles import Percentiles, enough
from quickthaw_platform.traffic.planning import make_plan
from quickthaw_platform.traffic.result import RequestResult
from quickthaw_platform.traffic.slo import Slo
from quickthaw_platform.traffic.summary import Summary
from tests.unit.traffic.results import COLD, MISSED, result

PLAN = make_plan(traffic("constant", rate=1.0), 10.0, slo=Slo(ttft=1.0, tpot=0.2))


def summary(*results: RequestResult, **fields: object) -> Summary:
    return Summary.of(PLAN, LoadOutcome(results, 10.0, lag_p99(results), **fields))  # type: ignore[arg-type]


def printed(found: Summary) -> str:
    console = Console(file=io.StringIO(), width=200)
    report.show(found, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(("percent", "least"), [(50.0, 5), (90.0, 29), (95.0, 59), (99.0, 299)])
def test_a_percentile_needs_so_many_values(percent: float, least: int) -> None:
    assert enough(percent) == least
    assert 1 - (percent / 100) ** least >= 0.95 > 1 - (percent / 100) ** (least - 1)
    assert Percentiles.of(range(least - 1)).values[percent] is None
    assert Percentiles.of(range(least)).values[percent] is not None


def test_misses_are_beyond_every_value() -> None:
    found = Percentiles.of([1.0] * 280, misses=20)
    assert found.count == 300
    assert found.values == {50.0: 1.0, 90.0: 1.0, 95.0: math.inf, 99.0: math.inf}


@pytest.mark.parametrize(
    ("request_", "met"),
    [
        (result(), True),
        (result(first_token=1.0, gaps=(0.2,)), True),  # just in time
        (result(first_token=1.01), False),
        (result(gaps=(0.1, 0.31)), False),
        (result(gaps=()), True),  # a single token
        (result(sent=0.9, first_token=1.1), False),  # counted from the intended send, not from the real one
        (result(error="the stream broke off"), False),  # whatever came before
        (MISSED, False),
    ],
)
def test_the_slo_is_met_or_missed(request_: RequestResult, met: bool) -> None:
    assert PLAN.slo.met(request_) == met


def test_failures_are_counted_by_what_they_have_in_common() -> None:
    errors = ("refused with 429: full", "refused with 429: full up", "the stream broke off: x")
    found = summary(result(), *(result(n, error=error) for n, error in enumerate(errors)))
    assert found.failures == {"refused with 429": 2, "the stream broke off": 1}
    assert found.failed == 3
    assert found.attainment == 0.25


def test_the_figures_are_json() -> None:
    found = json.loads(json.dumps(summary(result(), COLD, MISSED).to_json(), allow_nan=False))
    assert found["arrivals"] == "constant"
    assert found["sent"] == 3
    assert found["failed"] == 1
    assert found["cold"] == 1
    assert found["attainment"] == pytest.approx(2 / 3)
    assert found["goodput"] == pytest.approx(0.2)
    assert found["tokens"] == {"in_asked": 20, "in_counted": 22, "out_asked": 6, "out_counted": 6}
    assert found["latencies"]["ttft"] == {"count": 3, "p50": None, "p90": None, "p95": None, "p99": None}


def test_a_percentile_among_the_misses_is_no_number_in_json() -> None:
    found = summary(*[MISSED] * 4, result()).to_json()
    assert found["latencies"]["ttft"]["p50"] == "missed"
    json.dumps(found, allow_nan=False)


def test_nothing_sent_makes_no_figures() -> None:
    found = summary()
    assert found.attainment is None
    assert found.to_json()["goodput"] == 0.0
    assert "none sent" in printed(found)


def test_what_is_printed_says_all() -> None:
    text = printed(
        summary(*(result(n) for n in range(60)), MISSED, invalid="too late", interrupted=True, notes=("odd",))
    )
    for part in (
        "constant: 10 requests in 10 s, 1/s", "first token (ttft)", "0.5000", "too few (<299)", "1 x refused with 429",
        "61 sent, 60 answered, 1 failed", "met by 98.4%", "dispatch lag p99 1.00 ms (limit 10.0 ms)",
        "INVALID: too late", "INTERRUPTED", "note: odd",
    ):  # fmt: skip
        assert part in text


def test_synthetic_traffic_is_labelled_in_print_and_json() -> None:
    plan = make_plan(traffic("azure-code", rate=0.5), 60.0)
    found = Summary.of(plan, LoadOutcome((), 60.0, 0.0))
    assert "azure-code (synthetic)" in printed(found)
    assert "note: synthetic: the trace azure-code is not here" in printed(found)
    assert found.to_json()["synthetic"] is True


def test_the_dispatch_lag_is_a_value_that_was_seen() -> None:
    lags = [0.001 * n for n in range(1, 101)]
    results = tuple(result(n, sent=n + lag) for n, lag in enumerate(lags))
    assert lag_p99(results) == pytest.approx(0.1)
    assert lag_p99(()) == 0.0
