from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from quickthaw_platform.traffic import processes
from quickthaw_platform.traffic.arrivals import PROCESSES, Arrivals
from quickthaw_platform.traffic.columns import Floats
from quickthaw_platform.traffic.statistics import cv_of_gaps, fano, rate


def drawn(seconds: float, seed: int = 1, **fields: Any) -> Floats:
    """Return the times of a process before `seconds`."""
    columns = processes.times(Arrivals.model_validate(fields), np.random.default_rng(seed))
    found = list(itertools.takewhile(lambda column: column[0] < seconds, columns))
    times = np.concatenate(found)
    return times[times < seconds]


@pytest.mark.parametrize("kind", PROCESSES)
def test_times_rise_and_the_rate_is_the_one_asked_for(kind: str) -> None:
    more: dict[str, dict[str, Any]] = {"gamma": {"cv": 3.0}, "diurnal": {"period": 4000}}
    times = drawn(40_000, kind=kind, rate=5.0, **more.get(kind, {}))
    assert (np.diff(times) >= 0).all()
    assert rate(times, 40_000) == pytest.approx(5.0, rel=0.05)


@pytest.mark.parametrize(("kind", "cv"), [("constant", 0.0), ("poisson", 1.0), ("gamma", 4.0)])
def test_gaps_vary_as_asked(kind: str, cv: float) -> None:
    given: dict[str, Any] = {"cv": cv} if kind == "gamma" else {}
    assert cv_of_gaps(drawn(40_000, kind=kind, rate=5.0, **given)) == pytest.approx(cv, rel=0.05, abs=1e-6)


def test_speed_multiplies_the_rate() -> None:
    assert rate(drawn(10_000, kind="poisson", rate=2.0, speed=3.0), 10_000) == pytest.approx(6.0, rel=0.03)


def test_bursts_come_at_the_higher_rate_and_then_nothing_does() -> None:
    times = drawn(200_000, kind="bursts", rate=1.0, on=20, off=180)
    silent = np.diff(times)
    long = silent[silent > 10]  # within a burst 10 per second come
    assert long.mean() == pytest.approx(190, rel=0.1)  # memoryless: 180 beyond the first ten
    assert np.median(silent) == pytest.approx(np.log(2) / 10, rel=0.05)
    assert (fano(times, 200_000) or 0) > 5


def test_the_diurnal_rate_follows_its_wave() -> None:
    times = drawn(100_000, kind="diurnal", rate=10.0, period=1000, depth=0.8)
    phases = times % 1000 / 1000
    high, low = (np.mean((phases > at - 0.05) & (phases < at + 0.05)) for at in (0.25, 0.75))
    assert high / low == pytest.approx(1.8 / 0.2, rel=0.15)


def test_the_same_seed_draws_the_same() -> None:
    one, two, other = (drawn(100, seed, kind="poisson", rate=5.0) for seed in (1, 1, 2))
    assert one.tolist() == two.tolist() != other.tolist()


def test_a_trace_is_not_drawn() -> None:
    with pytest.raises(ValueError, match="are read, not drawn"):
        processes.times(Arrivals.model_validate({"kind": "csv", "path": "x.csv"}), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "poisson"}, "needs a `rate`"),
        ({"kind": "azure"}, "needs the `path`"),
        ({"kind": "poisson", "rate": 1, "path": "x"}, "reads no trace"),
        ({"kind": "poisson", "rate": 1, "on": 5}, "`on` means nothing to kind 'poisson'; it belongs to bursts"),
        ({"kind": "poisson", "rate": 1, "offset": 5}, "`offset` means nothing"),
        ({"kind": "poisson", "rate": 1, "cv": 5}, "`cv` means nothing"),
        ({"kind": "bursts", "rate": 1, "on": 0}, "on"),
        ({"kind": "diurnal", "rate": 1, "depth": 2}, "depth"),
        ({"kind": "poisson", "rate": 0}, "rate"),
        ({"kind": "poisson", "rate": float("inf")}, "rate"),
        ({"kind": "pareto", "rate": 1}, "kind"),
        ({"kind": "poisson", "rate": 1, "colour": "red"}, "colour"),
    ],
)
def test_fields_that_do_not_fit_are_named(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Arrivals.model_validate(fields)


def test_the_old_names_of_scenarios_are_still_read() -> None:
    found = Arrivals.model_validate({"kind": "servegen", "path": "x", "rate_scale": 2, "window": "10m"})
    assert (found.speed, found.offset) == (2.0, 600.0)


@pytest.mark.parametrize(
    ("times", "cv", "factor"),
    [
        ([], None, None),
        ([1.0], None, 0.75),
        ([1.0, 2.0], None, 0.5),  # a single gap does not vary
        ([0.0, 1.0, 2.0, 3.0], 0.0, 0.0),
        ([0.0, 1.0, 4.0], 0.5, 0.5),  # the last lies behind the last bin
        ([2.0, 2.0, 2.0], None, 2.25),  # all at once
        ([0.5, 0.5, 3.5, 3.5], pytest.approx(2**0.5), 1.0),
    ],
)
def test_statistics_of_few_requests(times: list[float], cv: float | None, factor: float | None) -> None:
    column = np.array(times)
    assert cv_of_gaps(column) == cv
    assert fano(column, 4.0) == factor


def test_counts_in_less_than_two_bins_say_nothing() -> None:
    assert fano(np.array([0.1, 0.2]), 1.5) is None
    assert rate(np.array([]), 0.0) == 0.0
