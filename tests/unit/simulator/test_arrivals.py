from __future__ import annotations

import gzip
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.simulator.arrivals import Calls, calls, popularity
from quickthaw_platform.simulator.scenario import Scenario
from tests.unit.simulator.scenarios import scenario

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:05.9799600,31,8\n"
)
MOONCAKE = (
    '{"timestamp": 500, "input_length": 7, "output_length": 3}\n'
    '{"timestamp": 1500, "input_length": 9, "output_length": 2}\n'
)
SERVEGEN = (
    "client,window_start_s,rate_rps,cv,family,shape,scale\n0,0,1.0,1.1,Gamma,0.8,0.04\n7,0,0.5,2,Weibull,0.6,0.009\n"
    "0,600,0.25,1.1,Gamma,0.9,0.04\n"
)


def every(given: Scenario) -> Calls:
    chunks = list(calls(given))
    return Calls(
        np.concatenate([chunk.times for chunk in chunks]),
        np.concatenate([chunk.functions for chunk in chunks]),
        np.concatenate([chunk.tokens_in for chunk in chunks]),
        np.concatenate([chunk.tokens_out for chunk in chunks]),
    )


def traced(tmp_path: Path, kind: str, text: str, **more: Any) -> Scenario:
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    return scenario(arrivals={"kind": kind, "path": str(path), **more}, tokens="trace" if kind != "servegen" else 8)


def test_poisson_has_the_rate_and_a_variation_of_one() -> None:
    gaps = np.diff(every(scenario(invocations=100_000, arrivals={"kind": "poisson", "rate": 4.0})).times)
    assert gaps.mean() == pytest.approx(0.25, rel=0.02)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, rel=0.02)


def test_gamma_has_the_variation_asked_for() -> None:
    gaps = np.diff(every(scenario(invocations=200_000, arrivals={"kind": "gamma", "rate": 4.0, "cv": 4.0})).times)
    assert gaps.mean() == pytest.approx(0.25, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(4.0, rel=0.05)


def test_gamma_of_functions_has_it_for_each_function() -> None:
    given = scenario(
        invocations=150_000, functions=3, arrivals={"kind": "gamma", "rate": 6.0, "cv": 3.0, "of": "function"}
    )
    drawn = every(given)
    assert (np.diff(drawn.times) >= 0).all()
    for function in range(3):
        gaps = np.diff(drawn.times[drawn.functions == function])
        assert gaps.mean() == pytest.approx(0.5, rel=0.06)
        assert gaps.std() / gaps.mean() == pytest.approx(3.0, rel=0.08)


def test_popularity_follows_zipf() -> None:
    assert popularity(scenario(functions=3, zipf=1.0).functions) == pytest.approx([6 / 11, 3 / 11, 2 / 11])


def test_the_same_seed_draws_the_same_calls_and_another_draws_others() -> None:
    given = scenario(invocations=1000, functions=5)
    one, two, other = (next(calls(given, seed)) for seed in (1, 1, 2))
    assert (one.times == two.times).all()
    assert (one.functions == two.functions).all()
    assert (one.times != other.times).any()


def test_a_duration_ends_the_calls() -> None:
    drawn = every(scenario(invocations=None, duration="50s", arrivals={"kind": "poisson", "rate": 10.0}))
    assert drawn.times.max() < 50
    assert len(drawn) == pytest.approx(500, rel=0.2)


def test_azure_rows_are_played_again(tmp_path: Path) -> None:
    drawn = every(traced(tmp_path, "azure", AZURE).model_copy(update={"invocations": 3}))
    assert drawn.times == pytest.approx([0, 2, 4])
    assert list(drawn.tokens_in) == [4808, 31, 4808]
    assert list(drawn.tokens_out) == [10, 8, 10]


def test_a_rate_changes_the_speed_of_a_trace(tmp_path: Path) -> None:
    drawn = every(traced(tmp_path, "azure", AZURE, rate=5.0).model_copy(update={"invocations": 4}))
    assert np.diff(drawn.times) == pytest.approx([0.2, 0.2, 0.2])


def test_mooncake_rows_are_milliseconds(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(MOONCAKE)
    drawn = every(scenario(invocations=2, arrivals={"kind": "mooncake", "path": str(path)}, tokens="trace"))
    assert drawn.times == pytest.approx([0, 1])
    assert list(drawn.tokens_out) == [3, 2]


def test_servegen_clients_are_functions_at_the_rates_of_their_windows(tmp_path: Path) -> None:
    given = traced(tmp_path, "servegen", SERVEGEN).model_copy(update={"invocations": None, "duration": 1_200_000.0})
    given = given.model_copy(update={"functions": scenario(functions=2).functions})
    drawn = every(given)
    first = drawn.times % 1200 < 600
    counts = [
        np.sum((drawn.functions == f) & (first == w)) / 600_000 for f, w in itertools.product((0, 1), (True, False))
    ]
    assert counts == pytest.approx([1.0, 0.25, 0.5, 0.0], rel=0.03)


def test_a_trace_without_a_span_is_named(tmp_path: Path) -> None:
    one_row = "".join(AZURE.splitlines(keepends=True)[:2])
    with pytest.raises(SettingsInvalid, match=r"trace\.csv\.gz has fewer than two calls"):
        every(traced(tmp_path, "azure", one_row))


def test_an_offset_begins_later_in_the_trace(tmp_path: Path) -> None:
    drawn = every(traced(tmp_path, "azure", AZURE, offset=1.5).model_copy(update={"invocations": 3}))
    assert drawn.times == pytest.approx([0.5, 2.5, 4.5])
    assert list(drawn.tokens_in) == [31, 4808, 31]


@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} with the public traces is not here")
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("azure", "AzureLLMInferenceTrace_code_2023.csv.gz"),
        ("azure", "AzureLLMInferenceTrace_conv_2023.csv.gz"),
        ("servegen", "servegen_language_m-small_arrivals.csv.gz"),
    ],
)
def test_the_public_traces_are_read(kind: str, name: str) -> None:
    tokens = 8 if kind == "servegen" else "trace"
    arrivals = {"kind": kind, "path": str(DATA / name), "rate": 20.0}
    drawn = every(scenario(invocations=8000, functions=100, arrivals=arrivals, tokens=tokens))
    assert len(drawn) == 8000
    assert (np.diff(drawn.times) >= 0).all()
    assert drawn.times[-1] == pytest.approx(400, rel=0.6)
