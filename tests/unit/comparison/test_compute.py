"""The report of a run that was never made, whole and in bad cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quickthaw.errors import InvalidRequest, NotFound
from quickthaw_platform.comparison.ablations import Changed
from quickthaw_platform.comparison.compute import compute
from quickthaw_platform.comparison.recorded import Recorded
from quickthaw_platform.comparison.recording import Arrivals, Backend, Block, Recording
from quickthaw_platform.comparison.report import Report
from quickthaw_platform.prices.catalogue import Catalogue, load
from quickthaw_platform.traffic.result import RequestResult
from tests.unit.comparison.example_run import RATE, REPEATS, SECONDS, example_recorded

FEW = ["aws-lambda-x86", "ec2-m7i-xlarge", "runpod-l4"]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return example_recorded()


@pytest.fixture(scope="module")
def report(recorded: Recorded, catalogue: Catalogue) -> Report:
    return compute(recorded, catalogue, prices=FEW)


def changed(recorded: Recorded, **fields: Any) -> Recorded:
    """The same with other fields of its recording."""
    return replace(recorded, recording=Recording.model_validate(recorded.recording.model_dump() | fields))


def with_results(recorded: Recorded, keep: Callable[[RequestResult], bool], **fields: Any) -> Recorded:
    results = [result for result in recorded.results if keep(result)]
    counts = {(b.backend, b.repeat): 0 for b in recorded.recording.blocks}
    for result in results:
        counts[result.backend, result.repeat] += 1
    blocks = [b.model_copy(update={"sent": counts[b.backend, b.repeat]}) for b in recorded.recording.blocks]
    with_sent = {key for key, count in counts.items() if count}
    usage = [line for line in recorded.usage if (line.backend, line.repeat) in with_sent]
    found = changed(recorded, **({"blocks": [block.model_dump() for block in blocks]} | fields))
    return replace(found, results=results, usage=usage)


def titles(report: Report) -> list[str]:
    return [threat.title for threat in report.threats]


def test_the_same_folder_gives_the_same_report_and_it_goes_through_json(
    report: Report, recorded: Recorded, catalogue: Catalogue
) -> None:
    assert compute(recorded, catalogue, prices=FEW) == report
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_the_order_in_which_rows_were_written_does_not_matter(
    report: Report, recorded: Recorded, catalogue: Catalogue
) -> None:
    mixed = replace(recorded, results=sorted(recorded.results, key=lambda result: (result.number * 7919) % 101))
    found = compute(mixed, catalogue, prices=FEW)
    assert found.answer == report.answer
    assert [row.attainment for row in found.rows] == [row.attainment for row in report.rows]


def test_every_request_is_counted_and_misses_are_not_within_the_objective(report: Report) -> None:
    row = report.row("serverless")
    assert (row.requests, row.answered, row.failures) == (360, 359, {"timed out": 1})
    assert row.attainment.value == pytest.approx(359 / 360)
    assert row.goodput.value == pytest.approx(359 / (REPEATS * SECONDS))


def test_cold_and_warm_are_shown_apart_and_none_is_left_out(report: Report) -> None:
    row = report.row("serverless")
    found = {which: row.latency("ttft", which) for which in ("all", "cold", "warm")}
    counts = {which: one.mean.count for which, one in found.items() if one is not None}
    assert counts["cold"] + counts["warm"] == counts["all"] == row.answered
    assert row.cold_share.value == pytest.approx(30 / 360)
    cold, warm = found["cold"], found["warm"]
    assert cold is not None
    assert warm is not None
    assert (cold.mean.low or 0) > (warm.mean.high or 0)


def test_of_an_endpoint_nobody_knows_which_requests_were_cold(report: Report) -> None:
    row = report.row("llama")
    assert {one.which for one in row.latencies} == {"all"}
    assert row.cold_share.value is None
    assert row.usage is None
    assert row.resident_bytes == 3.1e8
    assert row.cold_start_seconds == pytest.approx(0.9)
    assert row.costs == []


def test_quantiles_that_so_few_cannot_carry_say_so(report: Report) -> None:
    found = report.row("serverless").latency("ttft", "cold")
    assert found is not None
    assert found.p50.value is not None
    assert found.p99.value is None
    assert (found.p99.needed or 0) > found.p99.count
    assert "Too few requests for the tail" in titles(report)


def test_intervals_enclose_their_figures(report: Report) -> None:
    seen = 0
    for row in report.rows:
        found = [row.attainment, row.goodput, row.throughput, *(c.per_thousand_requests for c in row.costs)]
        for one in row.latencies:
            found += [one.mean, one.p50, one.p90, one.p95, one.p99]
        for estimate in found:
            if estimate.value is not None and estimate.low is not None and estimate.high is not None:
                seen += 1
                assert estimate.low <= estimate.value <= estimate.high
    assert seen > 60


def test_a_request_on_servers_costs_their_time_and_on_calls_what_it_used(report: Report, recorded: Recorded) -> None:
    servers = next(cost for cost in report.row("serverful").costs if cost.offer == "runpod-l4")
    assert servers.per_thousand_requests.value == pytest.approx(1000 * 0.00013 * SECONDS / (RATE * SECONDS))
    used = sum(line.seconds for line in recorded.usage if line.backend == "serverless")
    calls = next(cost for cost in report.row("serverless").costs if cost.offer == "runpod-l4")
    assert calls.per_thousand_requests.value == pytest.approx(1000 * 0.00019 * used / 360)
    assert calls.per_month.value == pytest.approx(0.00019 * used * 730 / (REPEATS * SECONDS / 3600), rel=0.03)
    tokens = 221 * 360 + sum(r.tokens_out for r in recorded.results if r.backend == "serverless")
    assert calls.per_million_tokens.value == pytest.approx(1e6 * 0.00019 * used / tokens)


def test_a_month_of_a_server_costs_its_price_whatever_comes(report: Report) -> None:
    servers = next(cost for cost in report.row("serverful").costs if cost.offer == "ec2-m7i-xlarge")
    assert servers.per_month.value == pytest.approx(0.2016 * 730)
    assert servers.per_month.low is None
    assert servers.per_month.high is None
    calls = next(cost for cost in report.row("serverless").costs if cost.offer == "aws-lambda-x86")
    month = calls.per_month
    assert month.value is not None
    assert month.low is not None
    assert month.high is not None
    assert 0 < month.low < month.value < month.high


def test_the_answer_has_the_bills_of_whole_machines_beside_the_share_that_a_request_pays(report: Report) -> None:
    bills = [
        next(cost for cost in report.row(name).costs if cost.offer == offer).per_month.value or 0.0
        for name, offer in (("serverless", "aws-lambda-x86"), ("serverful", "ec2-m7i-xlarge"))
    ]
    assert f"EC2 m7i.xlarge, ${bills[0]:.2f} against $147 a month)" in report.answer.sentence
    (threat,) = [one for one in report.threats if one.title == "Servers are priced by shares"]
    assert "EC2 m7i.xlarge holds 4." in threat.text


def test_requests_that_are_billed_by_number_differ_from_month_to_month(
    recorded: Recorded, catalogue: Catalogue
) -> None:
    found = compute(recorded, catalogue, prices=["aws-lambda-managed-m7i-xlarge"]).row("serverful").costs[0].per_month
    assert found.low is not None
    assert found.high is not None
    assert found.value is not None
    assert found.low < found.value < found.high < found.value + 1


def test_the_server_that_was_named_is_the_one_that_calls_are_compared_with(
    recorded: Recorded, catalogue: Catalogue
) -> None:
    found = compute(recorded, catalogue, prices=["runpod-l4", "ec2-g6-xlarge"])
    assert [curve.serverful_offer for curve in found.break_evens] == ["ec2-g6-xlarge", "runpod-l4"]
    assert "RunPod serverless, L4 against EC2 g6.xlarge" in found.answer.sentence


def test_a_credit_is_taken_off_the_ends_of_an_interval_once(recorded: Recorded, catalogue: Catalogue) -> None:
    found = compute(recorded, catalogue, prices=["runpod-l4", "modal-l4"])
    without, credited = (
        next(cost for cost in found.row("serverless").costs if cost.offer == offer).per_month
        for offer in ("runpod-l4", "modal-l4")
    )
    assert credited.value is not None
    assert without.value is not None
    scale = (credited.value + 30) / without.value
    assert credited.low == pytest.approx(scale * (without.low or 0) - 30, rel=0.01)
    assert credited.high == pytest.approx(scale * (without.high or 0) - 30, rel=0.01)


def test_time_in_which_only_the_last_answers_end_is_no_traffic(
    report: Report, recorded: Recorded, catalogue: Catalogue
) -> None:
    """A month has as many requests as their rate says, and a server that is always on costs its price by that rate."""
    blocks = [b.model_copy(update={"seconds": SECONDS + 40}).model_dump() for b in recorded.recording.blocks]
    found = compute(changed(recorded, blocks=blocks), catalogue, prices=FEW)
    for name in ("serverless", "serverful", "llama"):
        for before, after in zip(report.row(name).costs, found.row(name).costs, strict=True):
            assert after.per_thousand_requests.value == pytest.approx(before.per_thousand_requests.value)
            assert after.per_month.value == pytest.approx(before.per_month.value)
    assert found.token_costs[0].per_month.value == pytest.approx(report.token_costs[0].per_month.value)
    saturated = compute(changed(overloaded(recorded), blocks=blocks), catalogue, prices=FEW).row("serverful").costs[0]
    usual = report.row("serverful").costs[0].per_thousand_requests.value or 0.0
    assert saturated.per_thousand_requests.value == pytest.approx(usual * (SECONDS + 40) / SECONDS)


def test_a_hybrid_pays_its_base_and_what_is_beyond(report: Report, recorded: Recorded) -> None:
    cost = next(cost for cost in report.row("hybrid").costs if cost.offer == "runpod-l4")
    used = sum(line.seconds for line in recorded.usage if line.backend == "hybrid")
    base = REPEATS * SECONDS
    expected = 1000 * (base * 0.00013 + max(0.0, used - base) * 0.00019) / 360
    assert cost.per_thousand_requests.value == pytest.approx(expected)


def test_the_answer_is_one_sentence_with_its_figures_and_its_reach(report: Report) -> None:
    sentence = report.answer.sentence
    assert sentence.startswith("At 0.4 requests/s with CV 4, serverless costs ")
    assert "AWS Lambda, x86 against EC2 m7i.xlarge" in sentence
    assert "meets the SLO for 99.7 % [" in sentence
    assert "they break even at " in sentence
    assert report.answer.ratio.value is not None
    assert "smollm2-135m" in report.answer.holds_for
    assert report.answer.says_nothing_of


def test_curves_cross_where_both_cost_the_same(report: Report) -> None:
    curve = report.break_evens[0]
    assert curve.crossing.value is not None
    at = np.asarray(curve.rates)
    calls, servers = (np.interp(curve.crossing.value, at, line) for line in (curve.serverless, curve.serverful))
    assert calls == pytest.approx(servers, rel=0.02)
    assert (curve.crossing.low or 0) < curve.crossing.value < (curve.crossing.high or 0)
    assert all(low <= value <= high for low, value, high in zip(curve.low, curve.serverless, curve.high, strict=True))
    assert {point.simulated for point in curve.points} == {True, False}


def test_curves_are_of_requests_that_share_an_instance_as_often_as_their_rate_has_them(
    recorded: Recorded, catalogue: Catalogue
) -> None:
    """Eight at a time slow each other: one by one they are faster, and an instance serves no fewer for being busy."""

    def longer(result: RequestResult) -> RequestResult:
        return replace(result, end=result.end + 40.0, gaps=(*result.gaps, 40.0))

    crowded = replace(recorded, results=[longer(result) for result in recorded.results])
    found = compute(crowded, catalogue, prices=["aws-lambda-x86", "ec2-m7i-xlarge"]).break_evens[0]
    calls = np.asarray(found.serverless)
    assert 1.5 < calls[-1] / calls[0] < 1 + 0.12 * 7
    assert found.most_rate == pytest.approx(0.8 * 8 / (found.service_seconds.value or 0.0))


def test_constant_arrivals_are_no_poisson_process(recorded: Recorded, catalogue: Catalogue) -> None:
    arrivals = recorded.recording.arrivals.model_copy(update={"cv": 0.0})
    found = compute(changed(recorded, arrivals=arrivals.model_dump()), catalogue, prices=FEW)
    assert {curve.cv for curve in found.break_evens} == {0.0}


def test_servers_are_not_called_cheaper_at_rates_at_which_an_instance_is_seldom_there(
    recorded: Recorded, catalogue: Catalogue
) -> None:
    instance = recorded.recording.instance.model_copy(update={"keep_alive": 86_400.0})
    found = compute(changed(recorded, instance=instance.model_dump()), catalogue, prices=["runpod-l4"])
    crossing = found.break_evens[0].crossing
    assert crossing.value is not None
    assert 1e-6 < crossing.value < 1e-3


def test_the_surface_has_its_crossing_where_the_ratio_is_one(report: Report) -> None:
    surface = report.surfaces[0]
    for ratios, crossing in zip(surface.ratio, surface.crossings, strict=True):
        assert len(ratios) == len(surface.rates)
        if crossing is not None:
            assert np.interp(crossing, surface.rates, ratios) == pytest.approx(1.0, abs=0.03)


def test_the_best_base_of_a_hybrid_costs_least(report: Report) -> None:
    for found in report.hybrids:
        costs = {choice.base: choice.per_thousand_requests for choice in found.choices}
        assert [choice.base for choice in found.choices if choice.best] == [min(costs, key=lambda base: costs[base])]
        shares = [choice.overflow_share for choice in found.choices]
        assert shares == sorted(shares, reverse=True)


def test_waterfalls_add_up_to_the_first_token(report: Report) -> None:
    [found] = report.waterfalls
    assert sum(stage.seconds for stage in found.stages) == pytest.approx(found.ttft)
    assert [stage.name for stage in found.stages][:2] == ["queue", "tier"]
    assert found.stages[-1].name == "other"


def test_distributions_end_below_one_where_requests_were_missed(report: Report) -> None:
    curve = next(c for c in report.latency_curves if (c.backend, c.which, c.measure) == ("serverless", "all", "ttft"))
    assert curve.y[-1] == pytest.approx(359 / 360)
    assert curve.x == sorted(curve.x)
    assert curve.count == 360


def test_simulated_points_are_marked(report: Report) -> None:
    assert sum(point.simulated for point in report.attainment) == 6
    assert sum(point.simulated for point in report.break_evens[0].points) == 6
    assert "Simulated points" in titles(report)


def test_requests_that_a_simulated_base_of_servers_takes_are_no_calls(recorded: Recorded, catalogue: Catalogue) -> None:
    base = recorded.simulated[-1].model_copy(update={"backend": "hybrid", "kind": "hybrid", "rate": 0.5})
    assert sum(base.seconds_by_phase.values()) == pytest.approx(3600)
    found = compute(replace(recorded, simulated=[base]), catalogue, prices=FEW[:2]).break_evens[0]
    (point,) = [point for point in found.points if point.simulated]
    assert point.per_thousand_requests.value == pytest.approx(1000 * 0.2016 / 3600 / 4 / 0.5)


def test_threats_come_with_the_worst_first(report: Report) -> None:
    weights = [threat.weight for threat in report.threats]
    assert weights == sorted(weights, key=["fatal", "serious", "limit"].index)
    assert {"Few repeats", "Synthetic arrivals", "One machine", "No noise floor"} <= set(titles(report))
    assert {"Prices are second-hand", "Billed as another device than measured"} <= set(titles(report))


def test_prices_that_are_old_are_threats(recorded: Recorded, catalogue: Catalogue) -> None:
    found = compute(changed(recorded, created_at=2e9), catalogue, prices=["runpod-l4"])
    assert "Prices are old" in titles(found)
    assert found.header.prices[0].age_days == pytest.approx(2537, abs=2)


def test_what_tokens_would_cost_is_said_as_that_of_another_model(report: Report) -> None:
    assert report.token_costs
    assert all("another model" in cost.notes[0] for cost in report.token_costs)
    per_request = 221 * 0.02e-6 + 0.04e-6 * 23.2
    assert report.token_costs[0].per_thousand_requests.value == pytest.approx(1000 * per_request, rel=0.05)


def test_a_pair_of_twins_gives_the_floor_below_which_nothing_differs(recorded: Recorded, catalogue: Catalogue) -> None:
    backends = [
        b.model_copy(update={"twin_of": "serverful"} if b.name == "hybrid" else {}) for b in recorded.recording.backends
    ]
    found = compute(changed(recorded, backends=[b.model_dump() for b in backends]), catalogue, prices=FEW)
    assert found.noise is not None
    assert (found.noise.backend, found.noise.twin) == ("serverful", "hybrid")
    assert found.noise.floors["ttft_mean"] > 0
    by_measure = {d.measure: d for d in found.differences if (d.first, d.second) == ("serverless", "serverful")}
    assert by_measure["ttft_mean"].verdict == "higher"
    assert by_measure["tpot_mean"].verdict == "none"
    assert by_measure["tpot_mean"].floor == found.noise.floors["tpot_mean"]
    assert "hybrid" not in {d.first for d in found.differences} | {d.second for d in found.differences}
    assert "No noise floor" not in titles(found)


def test_no_requests_at_all(recorded: Recorded, catalogue: Catalogue) -> None:
    found = compute(replace(with_results(recorded, lambda _: False), timeline=[]), catalogue, prices=FEW)
    assert found.answer.sentence == "Nothing was measured: no request was sent."
    assert found.threats[0].title == "Nothing was measured"
    assert not found.header.valid
    assert [row.requests for row in found.rows] == [0] * 4
    assert not found.break_evens
    assert not found.differences
    assert not found.token_costs


def test_one_request(recorded: Recorded, catalogue: Catalogue) -> None:
    one = with_results(recorded, lambda r: (r.backend, r.repeat, r.number) == ("serverless", 0, 0))
    found = compute(one, catalogue, prices=FEW)
    assert found.row("serverless").requests == 1
    assert found.row("serverless").steadiness.steady is None
    assert "Only serverless was measured, so nothing is compared" in found.answer.sentence


def test_one_warm_request_on_each_of_two(recorded: Recorded, catalogue: Catalogue) -> None:
    two = with_results(recorded, lambda r: (r.repeat, r.number) == (0, 1) and r.backend in ("serverless", "serverful"))
    found = compute(two, catalogue, prices=FEW)
    assert [row.requests for row in found.rows] == [1, 1, 0, 0]
    assert {d.first for d in found.differences} == {"serverless"}
    assert found.answer.ratio.value is not None
    assert found.answer.ratio.low is None
    assert found.break_evens[0].crossing.low is None
    assert all(cost.per_month.low is None for row in found.rows for cost in row.costs)
    assert found.answer.sentence.endswith("That rests on 1 request of a backend, too few for a verdict.")
    assert "Few requests" in titles(found)


def test_only_one_backend(recorded: Recorded, catalogue: Catalogue) -> None:
    found = compute(with_results(recorded, lambda r: r.backend == "serverful"), catalogue, prices=FEW)
    assert "Only serverful was measured" in found.answer.sentence
    assert found.differences == []
    assert found.row("serverful").costs


def test_a_backend_that_died_is_named_counted_and_the_rest_goes_on(recorded: Recorded, catalogue: Catalogue) -> None:
    results = [
        replace(r, error="connection refused: it is gone", first_token=None, gaps=())
        if r.backend == "llama" and (r.repeat, r.number) >= (1, 60) else r
        for r in recorded.results
    ]  # fmt: skip
    blocks = [
        b.model_copy(update={"error": "killed by signal 9"} if b.backend == "llama" and b.repeat else {})
        for b in recorded.recording.blocks
    ]
    died = replace(changed(recorded, blocks=[b.model_dump() for b in blocks]), results=results)
    found = compute(died, catalogue, prices=FEW)
    row = found.row("llama")
    assert row.error == "killed by signal 9"
    assert row.failures == {"connection refused": 180}
    assert row.attainment.value == pytest.approx(0.5)
    assert "llama died" in titles(found)
    assert "llama died in mid-run." in found.answer.sentence
    assert found.row("serverless").requests == 360
    assert found.header.repeats_done == 1


def test_a_backend_that_never_came_up_did_not_die_in_mid_run(recorded: Recorded, catalogue: Catalogue) -> None:
    cut = with_results(recorded, lambda r: r.backend != "llama")
    blocks = [
        b.model_copy(update={"error": "connection refused"}) if b.backend == "llama" else b
        for b in cut.recording.blocks
    ]
    found = compute(changed(cut, blocks=[b.model_dump() for b in blocks]), catalogue, prices=FEW)
    assert found.answer.sentence.endswith("llama could not be measured.")
    assert "llama could not be measured" in titles(found)


def test_an_endpoint_stands_for_the_servers_where_no_backend_is_serverful(
    recorded: Recorded, catalogue: Catalogue
) -> None:
    some = [b.model_dump() for b in recorded.recording.backends if b.kind in ("serverless", "endpoint")]
    blocks = [b.model_dump() for b in recorded.recording.blocks if b.backend in ("serverless", "llama")]
    usage = [
        line.model_copy(update={"backend": "llama"}) if line.backend == "serverful" else line for line in recorded.usage
    ]
    cut = replace(
        changed(recorded, backends=some, blocks=blocks),
        results=[r for r in recorded.results if r.backend in ("serverless", "llama")],
        usage=[line for line in usage if line.backend != "hybrid"], timeline=[], simulated=[],
    )  # fmt: skip
    found = compute(cut, catalogue, prices=FEW[:2])
    assert "times as much" in found.answer.sentence
    assert "llama, one server that is always on" in found.answer.sentence
    assert found.answer.ratio.value is not None


def test_what_unanswered_requests_do_to_the_cost_is_said(recorded: Recorded, catalogue: Catalogue) -> None:
    half = [
        replace(r, error="refused with 503", first_token=None, gaps=())
        if r.backend == "serverful" and r.number % 2
        else r
        for r in recorded.results
    ]
    found = compute(replace(recorded, results=half), catalogue, prices=FEW)
    (threat,) = [one for one in found.threats if one.title == "serverful left requests unanswered"]
    assert "an answered one costs 2 times that" in threat.text.replace("2.01", "2").replace("2.02", "2")


def test_backends_that_all_miss_the_objective_are_not_said_to_meet_it(recorded: Recorded, catalogue: Catalogue) -> None:
    slo = recorded.recording.slo.model_copy(update={"ttft": 0.2})
    assert "No backend meets the objective" in titles(compute(changed(recorded, slo=slo.model_dump()), catalogue))
    assert "No backend meets the objective" not in titles(compute(recorded, catalogue))


def test_bills_of_single_requests_that_slowed_each_other_are_a_threat(recorded: Recorded, catalogue: Catalogue) -> None:
    def longer(result: RequestResult) -> RequestResult:
        return replace(result, end=result.end + 40.0)

    crowded = replace(recorded, results=[longer(result) for result in recorded.results])
    assert "Measured together, billed apart" in titles(compute(crowded, catalogue, prices=FEW))
    assert "Measured together, billed apart" not in titles(compute(crowded, catalogue, prices=["runpod-l4"]))


def test_rates_of_an_interrupted_block_are_of_the_time_that_it_lasted(recorded: Recorded, catalogue: Catalogue) -> None:
    """A run of one block each that ends half-way was sent requests at the same rate, and not at half of it."""
    half = SECONDS / 2
    cut = with_results(recorded, lambda r: r.repeat == 0 and r.intended < half)
    blocks = [b.model_copy(update={"interrupted": True, "seconds": half}) for b in cut.recording.blocks if b.sent]
    found = compute(changed(cut, interrupted=True, blocks=[b.model_dump() for b in blocks]), catalogue, prices=FEW)
    row = found.row("serverful")
    assert row.throughput.value == pytest.approx(row.answered / half)
    assert row.goodput.value is not None
    assert row.goodput.value > 0.9 * row.answered / half
    rates = {point.rate for point in found.break_evens[0].points if not point.simulated}
    assert sorted(rates) == pytest.approx([row.requests / half])
    assert f"At {row.requests / half:.3g} requests/s" in found.answer.sentence


def test_an_interrupted_run_is_told_as_such(recorded: Recorded, catalogue: Catalogue) -> None:
    cut = with_results(
        recorded, lambda r: r.repeat == 0 or (r.backend == "serverless" and r.repeat == 1 and r.number < 9)
    )
    blocks = [b for b in cut.recording.blocks if b.sent]
    blocks[-1] = blocks[-1].model_copy(update={"interrupted": True})
    found = compute(changed(cut, interrupted=True, blocks=[b.model_dump() for b in blocks]), catalogue, prices=FEW)
    assert "The run was interrupted after 1 of 3 repeats." in found.answer.sentence
    assert "The run was interrupted" in titles(found)


def test_an_invalid_run_does_not_count(recorded: Recorded, catalogue: Catalogue) -> None:
    late = [b.model_copy(update={"invalid": "the generator was 0.5 s late"}) for b in recorded.recording.blocks[:1]]
    blocks = [*late, *recorded.recording.blocks[1:]]
    found = compute(changed(recorded, blocks=[b.model_dump() for b in blocks]), catalogue, prices=FEW)
    assert not found.header.valid
    assert found.answer.sentence.startswith(
        "This run does not count (serverless, repeat 1: the generator was 0.5 s late)"
    )
    assert found.threats[0].weight == "fatal"


def overloaded(recorded: Recorded) -> Recorded:
    """One backend that falls ever further behind, at a steady rate."""
    results = []
    for result in recorded.results:
        at = SECONDS * (result.number + 0.5) / round(RATE * SECONDS)
        wait = 0.3 + (0.4 * at if result.backend == "serverful" else 0.0)
        results.append(
            replace(result, intended=at, sent=at, first_token=at + wait, end=at + wait + sum(result.gaps), error=None)
        )
    return replace(recorded, results=results)


def test_a_backend_that_falls_behind_is_saturated_and_the_others_are_not(
    recorded: Recorded, catalogue: Catalogue
) -> None:
    found = compute(overloaded(recorded), catalogue, prices=FEW)
    row = found.row("serverful")
    assert row.steadiness.saturated
    assert row.steadiness.steady is False
    assert (row.steadiness.halves.low or 0) > 10
    assert not found.row("serverless").steadiness.saturated
    assert "serverful was saturated" in titles(found)
    assert all(point.saturated == (point.backend == "serverful") for point in found.attainment if not point.simulated)
    assert "serverful was saturated." in found.answer.sentence


def test_traffic_whose_rate_changes_all_along_is_not_steady(recorded: Recorded, catalogue: Catalogue) -> None:
    def later(result: RequestResult) -> RequestResult:
        at = SECONDS * ((result.number + 0.5) / round(RATE * SECONDS)) ** 0.5
        shift = at - result.intended
        first = None if result.first_token is None else result.first_token + shift
        return replace(result, intended=at, sent=result.sent + shift, first_token=first, end=result.end + shift)

    found = compute(replace(recorded, results=[later(r) for r in recorded.results]), catalogue, prices=FEW)
    assert found.row("serverful").steadiness.steady is False
    assert "the rate of the requests changes" in found.row("serverful").steadiness.why


def test_without_timelines_intervals_come_from_repeats(recorded: Recorded, catalogue: Catalogue) -> None:
    found = compute(replace(recorded, timeline=[]), catalogue, prices=FEW)
    usage = found.row("serverless").usage
    assert usage is not None
    assert usage.seconds.low is not None
    assert found.timelines == []


def test_without_usage_nothing_has_a_price(recorded: Recorded, catalogue: Catalogue) -> None:
    found = compute(replace(recorded, usage=[], missing=["usage.csv: not there"]), catalogue, prices=FEW)
    assert all(row.costs == [] and row.usage is None for row in found.rows)
    assert "no price list in use tells what both cost" in found.answer.sentence
    assert "Parts of the record are missing" in titles(found)


def test_no_difference_in_cost_is_said_as_none(recorded: Recorded, catalogue: Catalogue) -> None:
    found = compute(recorded, catalogue, prices=["modal-cpu"])
    ratio = found.answer.ratio
    assert ratio.low is not None
    assert ratio.high is not None
    assert ratio.low < 1 < ratio.high
    assert "as far as this run can tell" in found.answer.sentence
    assert "calls are cheaper at every rate" in found.answer.sentence
    assert found.break_evens[0].always == "serverless"


def test_other_runs_stand_beside_this_one_part_by_part(recorded: Recorded, catalogue: Catalogue) -> None:
    other = changed(recorded, machine={"host": "another"})
    slow = replace(recorded, results=[replace(r, first_token=(r.first_token or r.end) + 1) for r in recorded.results])
    given = [Changed("loader", "from disk", slow), Changed("keep-alive policy", "histogram", other)]
    found = compute(recorded, catalogue, prices=FEW, changed=given).ablations
    assert [(one.part, one.label, one.baseline, one.comparable) for one in found] == [
        ("loader", "this run", True, True), ("loader", "from disk", False, True),
        ("keep-alive policy", "this run", True, True), ("keep-alive policy", "histogram", False, False),
    ]  # fmt: skip
    assert (found[1].ttft_mean.value or 0) > (found[0].ttft_mean.value or 0) + 0.9


@pytest.mark.parametrize(
    ("prices", "error"),
    [
        (["no-such-offer"], NotFound),
        (["azure-container-apps"], InvalidRequest),  # nobody knows its price
    ],
)
def test_prices_that_cannot_be_used_are_refused(
    recorded: Recorded, catalogue: Catalogue, prices: Sequence[str], error: type[Exception]
) -> None:
    with pytest.raises(error, match=prices[0]):
        compute(recorded, catalogue, prices=prices)


def test_a_provider_stands_for_its_offers(recorded: Recorded, catalogue: Catalogue) -> None:
    found = compute(recorded, catalogue, prices=["modal"])
    assert {cost.offer for cost in found.row("serverless").costs} > {"modal-cpu", "modal-l4"}


def test_the_smallest_run_that_can_be_told_of(catalogue: Catalogue) -> None:
    run = Recording(
        created_at=0.0, command="", commit="", machine={}, function="f", model="m",
        arrivals=Arrivals(label="poisson", kind="poisson", synthetic=True, rate=1.0, count=0, seconds=0.0),
        backends=[Backend(name="a", kind="endpoint")], slo=example_recorded().recording.slo,
        blocks=[Block(backend="a", repeat=0, began_at=0.0, seconds=0.0, sent=0, error="it never came up")],
    )  # fmt: skip
    found = compute(Recorded(run), catalogue)
    assert found.row("a").error == "it never came up"
    assert "a could not be measured" in titles(found)
