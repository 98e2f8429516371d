from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.traffic.named import PUBLISHED, Traffic, traffic
from quickthaw_platform.traffic.planning import Sizes, make_plan
from quickthaw_platform.traffic.playing import play
from quickthaw_platform.traffic.statistics import cv_of_gaps
from quickthaw_platform.traffic.traces.reading import read
from quickthaw_platform.traffic.traces.trace import Trace
from tests.unit.traffic.trace_files import AZURE_2023, CODE, DATA, SERVEGEN, needs_public_traces, written


def trace_at(*times: float) -> Trace:
    column = np.array(times)
    return Trace(column - column[0], np.arange(len(times)) + 1, np.arange(len(times)) + 101)


EVEN = trace_at(*range(10))  # one a second; its span is 10 s


def plain(path: Path, times: list[float]) -> Path:
    rows = "".join(f"{time},{number + 1},{number + 101}\n" for number, time in enumerate(times))
    return written(path, "time,tokens_in,tokens_out\n" + rows)


def test_a_trace_is_played_as_it_is() -> None:
    played = play(EVEN, 4.0)
    assert played.times.tolist() == [0, 1, 2, 3]
    assert played.rows.tolist() == [0, 1, 2, 3]


def test_a_rate_stretches_the_whole_trace_to_that_mean() -> None:
    assert play(EVEN, 4.0, rate=0.5).times.tolist() == [0, 2]
    assert play(EVEN, 4.0, rate=2.0).times.tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]


def test_speed_compresses_time_also_behind_a_rate() -> None:
    assert play(EVEN, 2.0, speed=2.0).times.tolist() == [0, 0.5, 1, 1.5]
    assert play(EVEN, 2.0, rate=0.5, speed=2.0).times.tolist() == [0, 1]


def test_an_offset_is_where_the_run_begins() -> None:
    played = play(EVEN, 3.0, offset=4.5)
    assert played.times.tolist() == [0.5, 1.5, 2.5]
    assert played.rows.tolist() == [5, 6, 7]


def test_a_run_longer_than_the_trace_plays_it_again_and_says_so() -> None:
    played = play(EVEN, 25.0)
    assert played.times.tolist() == list(range(25))
    assert played.rows.tolist() == [*range(10), *range(10), *range(5)]
    assert "played again" in played.notes[0]
    assert play(EVEN, 9.0).notes == ()


def test_the_window_is_the_most_typical_one() -> None:
    sparse = [10.0 * number for number in range(20)]
    dense = [200.0 + 10 / 3 * number for number in range(60)]
    played = play(trace_at(*sparse, *dense), 60.0)  # 80 in 400 s: a typical minute has 12
    assert len(played.times) == 12
    assert 140 < played.offset < 200


def test_between_windows_of_equal_counts_the_variation_decides() -> None:
    clumped = [0.0, 0.1, 0.2, 0.3, 10.0, 10.1, 10.2, 10.3, 20.0, 20.1, 20.2, 20.3]
    even = [30 + 2.5 * number for number in range(4)]
    played = play(trace_at(*clumped, *even), 10.0)
    assert cv_of_gaps(played.times) == pytest.approx(0.0, abs=1.5)
    assert played.offset < 30  # three quarters of the trace are clumped


def test_one_request_is_played_but_has_no_rate() -> None:
    assert play(trace_at(5.0), 60.0).times.tolist() == [0.0]
    with pytest.raises(SettingsInvalid, match="no rate that could be changed"):
        play(trace_at(5.0), 60.0, rate=1.0)


def test_requests_all_at_one_time_are_sent_together() -> None:
    assert play(trace_at(5.0, 5.0, 5.0), 60.0).times.tolist() == [0.0, 0.0, 0.0]


def test_a_plan_has_the_tokens_of_the_trace(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", AZURE_2023)
    plan = make_plan(traffic(f"azure:{path}"), 3.0)
    assert plan.times.tolist() == pytest.approx([0, 2])
    assert plan.tokens_in.tolist() == [4808, 31]
    assert plan.tokens_out.tolist() == [10, 8]
    assert plan.trace_digest == read("azure", path).digest
    assert not plan.synthetic


def test_tokens_are_scaled_and_cut(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", AZURE_2023)
    plan = make_plan(traffic(f"azure:{path}"), 3.0, sizes=Sizes(scale=0.1, most_in=100))
    assert plan.tokens_in.tolist() == [100, 3]
    assert plan.tokens_out.tolist() == [1, 1]
    fixed = make_plan(traffic(f"azure:{path}", tokens_in=7, tokens_out=9), 3.0)
    assert (fixed.tokens_in.tolist(), fixed.tokens_out.tolist()) == ([7, 7], [9, 9])


def test_what_is_odd_about_a_trace_is_noted(tmp_path: Path) -> None:
    plan = make_plan(traffic(f"csv:{plain(tmp_path / 't.csv', [3.5, 1.5, 2.5])}"), 60.0)
    assert "out of order" in plan.notes[0]
    assert "played again" in plan.notes[1]


def test_the_same_seed_makes_the_same_plan_and_another_does_not() -> None:
    given = traffic("poisson", rate=5.0)
    one, two, other = (make_plan(given, 20.0, seed) for seed in (1, 1, 2))
    assert one.digest == two.digest != other.digest
    assert one.text(3) == two.text(3) != other.text(3)


def test_a_plan_tells_rate_variation_and_scatter() -> None:
    plan = make_plan(traffic("constant", rate=4.0), 10.0)
    assert len(plan) == 40
    assert plan.rate == 4.0
    assert plan.cv == pytest.approx(0.0, abs=1e-9)
    assert plan.fano == 0.0


def test_a_plan_may_be_empty() -> None:
    plan = make_plan(traffic("poisson", rate=1e-6), 1.0)
    assert len(plan) == 0
    assert (plan.rate, plan.cv, plan.fano) == (0.0, None, None)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_a_run_has_a_length(seconds: float) -> None:
    with pytest.raises(SettingsInvalid, match="longer than nothing"):
        make_plan(traffic("poisson", rate=1.0), seconds)


def test_a_process_tells_no_tokens() -> None:
    arrivals = traffic("poisson", rate=1.0).arrivals
    with pytest.raises(SettingsInvalid, match="give them"):
        make_plan(Traffic("p", arrivals, "trace", 5), 10.0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_trace_that_is_absent_is_drawn_and_labelled(name: str, tmp_path: Path) -> None:
    given = traffic(name, tmp_path)
    plan = make_plan(given, 3000.0, 1)
    assert plan.synthetic
    assert plan.label == f"{name} (synthetic)"
    assert f"not in {tmp_path}" in plan.notes[0]
    assert plan.trace_digest is None
    published = PUBLISHED[name]
    assert plan.rate == pytest.approx(published.rate, rel=0.1)
    assert plan.cv == pytest.approx(published.cv, rel=0.25)
    assert plan.tokens_in.mean() == pytest.approx(published.tokens_in.mean, rel=0.1)
    assert plan.tokens_out.mean() == pytest.approx(published.tokens_out.mean, rel=0.1)
    assert plan.tokens_in.max() <= published.tokens_in.most


def test_a_synthetic_trace_keeps_the_rate_that_is_asked_for() -> None:
    plan = make_plan(traffic("azure-code", rate=0.5), 300.0, 3)
    assert plan.rate == pytest.approx(0.5, rel=0.05)
    assert (plan.cv or 0) > 5
    later = make_plan(traffic("azure-code", rate=0.5, offset=100.0), 300.0, 3)
    assert later.digest != plan.digest


@needs_public_traces
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_trace_that_is_there_is_played(name: str) -> None:
    plan = make_plan(traffic(name, DATA, rate=0.5), 300.0)
    assert not plan.synthetic
    assert plan.label == name
    assert plan.rate == pytest.approx(0.5, rel=0.02)
    assert plan.cv == pytest.approx(PUBLISHED[name].cv, rel=0.25)
    assert plan.trace_digest is not None


@needs_public_traces
def test_the_constants_are_those_of_the_published_trace() -> None:
    trace, published = read("azure", CODE), PUBLISHED["azure-code"]
    for column, fitted in ((trace.tokens_in, published.tokens_in), (trace.tokens_out, published.tokens_out)):
        assert fitted.mean == pytest.approx(column.mean(), rel=0.001)
        assert fitted.sigma == pytest.approx(np.sqrt(np.log1p((column.std() / column.mean()) ** 2)), abs=0.001)
        assert fitted.most == column.max()


@needs_public_traces
def test_servegen_is_planned_with_the_tokens_that_are_given() -> None:
    plan = make_plan(traffic(f"servegen:{SERVEGEN}", rate=5.0, tokens_in=100), 600.0)
    assert 1000 < len(plan) < 6000
    assert set(plan.tokens_in.tolist()) == {100}


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("azure", {}, "there are no arrivals 'azure'; write azure-code, azure-conv, constant"),
        ("pareto:x.csv", {}, "there are no arrivals"),
        ("azure:", {}, "there are no arrivals"),
        ("poisson", {}, "arrivals 'poisson': kind 'poisson' needs a `rate`"),
        ("poisson", {"rate": -1.0}, "arrivals 'poisson': rate"),
        ("poisson", {"rate": 1.0, "offset": 3.0}, "`offset` means nothing"),
        ("azure-code", {"cv": 3.0}, "`cv` is that of the trace"),
        ("azure-code", {"on": 3.0}, "`on` means nothing"),
        ("csv:/no-such-file", {}, "no-such-file"),
    ],
)
def test_names_and_fields_that_do_not_fit_are_refused(name: str, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        make_plan(traffic(name, **fields), 10.0)
    assert said in caught.value.message


def test_a_draw_of_another_rate_than_was_asked_for_is_told() -> None:
    short = make_plan(traffic("bursts", rate=0.5, on=5.0, off=10.0, tokens_in=7, tokens_out=9), 45.0)
    assert short.rate > 0.8
    assert any("were drawn, where 0.5 were asked for" in note for note in short.notes)
    steady = make_plan(traffic("constant", rate=2.0, speed=1.5, tokens_in=7, tokens_out=9), 45.0)
    assert not steady.notes


def test_only_what_is_read_from_a_trace_of_requests_is_not_drawn(tmp_path: Path) -> None:
    assert make_plan(traffic("poisson", rate=2.0), 5.0).drawn
    assert not make_plan(traffic(f"csv:{plain(tmp_path / 't.csv', [3.5, 1.5, 2.5])}"), 60.0).drawn


def test_constant_arrivals_do_not_vary_at_all() -> None:
    assert make_plan(traffic("constant", rate=0.3, tokens_in=7, tokens_out=9), 18.0).cv == 0.0
