"""A run's requests, played again in simulation at other rates."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from quickthaw_platform.comparison.recording import Arrivals, Backend, Calibration, Instance, Recording, Slo
from quickthaw_platform.comparison.simulation import Cluster, played, simulate_run
from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.traffic.result import RequestResult

CALIBRATION = Calibration(
    start_seconds={"template": 0.3},
    first_token_seconds=0.1,
    prefill_tokens_per_second=1000.0,
    decode_tokens_per_second=20.0,
    stop=0.1,
)
BACKENDS = [Backend(name="serverless", kind="serverless"), Backend(name="serverful", kind="serverful", always_on=1)]


def recording(calibration: Calibration | None = CALIBRATION, *, keep_alive: float = 5.0) -> Recording:
    return Recording(
        created_at=0.0, command="", commit="", machine={}, function="chat", model="m",
        arrivals=Arrivals(label="even", kind="csv", synthetic=True, rate=0.1, cv=0.0, count=200, seconds=2000.0),
        backends=BACKENDS, slo=Slo(ttft=1.0, tpot=1.0), calibration=calibration,
        instance=Instance(keep_alive=keep_alive, concurrency=4),
    )  # fmt: skip


def even(gap: float = 10.0, count: int = 200) -> list[RequestResult]:
    """Requests at even gaps, of 100 tokens in and 21 out: 0.2 s to the first token and 1 s for the others."""
    return [
        RequestResult(n, gap * n, gap * n, None, (), gap * n, 100, 21, 100, 21, backend="serverless")
        for n in range(count)
    ]


def test_what_an_idle_gap_costs_and_how_long_a_cold_call_waits_is_as_the_constants_say() -> None:
    serverless, serverful = simulate_run(recording(), even(), rates=[0.1], calls=500)
    per_hour = 360.0  # calls; each starts, serves 1.2 s, and idles its 5 s, noticed in the next round
    assert serverless.seconds_by_phase["starting"] == pytest.approx(0.3 * per_hour, rel=0.02)
    assert serverless.seconds_by_phase["serving"] == pytest.approx(1.2 * per_hour, rel=0.02)
    assert serverless.seconds_by_phase["idle"] == pytest.approx(5.1 * per_hour, rel=0.05)
    assert serverless.held_mean == pytest.approx(1.2, rel=0.02)
    assert serverless.ttft_mean == pytest.approx(0.3 + 0.2, rel=0.02)
    assert serverful.ttft_mean == pytest.approx(0.2, rel=0.02)
    assert sum(serverful.seconds_by_phase.values()) == pytest.approx(3600, rel=0.01)
    assert (serverless.slo_attainment, serverful.slo_attainment) == (1.0, 1.0)


def test_at_a_higher_rate_the_same_trace_keeps_the_instance_warm() -> None:
    [slow, fast, *_] = simulate_run(recording(), even(), rates=[0.1, 0.5], calls=500)
    assert fast.rate == 0.5
    assert fast.ttft_mean < slow.ttft_mean
    assert fast.seconds_by_phase["starting"] < slow.seconds_by_phase["starting"] / 10


def test_the_points_are_those_of_the_platform_s_own_backends_at_rates_around_the_measured_one() -> None:
    run = recording().model_copy(update={"backends": [*BACKENDS, Backend(name="llama", kind="endpoint")]})
    points = simulate_run(run, even(count=50), calls=200, cluster=Cluster(nodes=2))
    assert {point.backend for point in points} == {"serverless", "serverful"}
    rates = [point.rate for point in points if point.backend == "serverless"]
    assert min(rates) < 0.1 < max(rates)
    assert all("2 nodes, simulated" in point.label and math.isfinite(point.ttft_p99) for point in points)


def test_without_a_calibration_nothing_is_simulated() -> None:
    with pytest.raises(SettingsInvalid, match="calibrate"):
        simulate_run(recording(None), even())


def test_one_request_is_no_trace() -> None:
    with pytest.raises(SettingsInvalid, match="two requests"):
        simulate_run(recording(), even(count=1))


def test_of_several_blocks_the_fullest_is_played() -> None:
    whole = [replace(request, backend="whole") for request in even(count=5)]
    assert played([*even(count=3), *whole]) == whole
