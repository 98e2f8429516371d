"""What the simulator is told of a machine is what made the measurements."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quickthaw_platform.comparison.calibrating import calibrate, way_of
from quickthaw_platform.traffic.result import RequestResult

FIRST, PREFILL, DECODE = 0.05, 400.0, 20.0


def request(number: int, at: float, tokens_in: int, tokens_out: int = 5, start: float = 0.0) -> RequestResult:
    """Make a request as a machine with the constants above would serve it, alone."""
    first = at + start + FIRST + tokens_in / PREFILL
    gaps = (1 / DECODE,) * (tokens_out - 1)
    stages = {"queue": 0.01, "fork": start - 0.01} if start else {}
    return RequestResult(
        number, at, at, first, gaps, first + sum(gaps), tokens_in, tokens_out, tokens_in, tokens_out,
        cold=start > 0, tier="dram" if start else None, queue=start, stages=stages,
    )  # fmt: skip


def test_the_constants_of_the_machine_are_found_again() -> None:
    rng = np.random.default_rng(1)
    warm = [request(n, 10.0 * n, int(rng.integers(20, 400))) for n in range(20)]
    cold = [request(20 + n, 1000.0 + 10 * n, 100, start=0.3) for n in range(3)]
    found = calibrate([*warm, *cold])
    assert found is not None
    assert found.first_token_seconds == pytest.approx(FIRST, rel=0.01)
    assert found.prefill_tokens_per_second == pytest.approx(PREFILL, rel=0.01)
    assert found.decode_tokens_per_second == pytest.approx(DECODE, rel=0.01)
    assert found.slowdown_per_stream == pytest.approx(0.0, abs=0.01)
    assert found.start_seconds == {"template": pytest.approx(0.3, rel=0.01)}


def test_of_a_burst_that_waited_for_one_start_only_the_first_tells_how_long_that_took() -> None:
    warm = [request(n, 10.0 * n, 100) for n in range(10)]
    burst = [request(20 + n, 1000.0 + n / 100, 100, start=0.3) for n in range(5)]
    late = [replace(one, first_token=one.first_token + n) for n, one in enumerate(burst) if one.first_token]
    found = calibrate([*warm, *late])
    assert found is not None
    assert found.start_seconds == {"template": pytest.approx(0.3, rel=0.01)}


def test_a_stream_beside_others_is_slower_by_what_they_cost() -> None:
    alone = [request(n, 10.0 * n, 50) for n in range(10)]
    together = []
    for n in range(10):  # two at the same time, each token takes half as long again
        made = request(10 + n, 1000.0 + 10 * (n // 2), 50, 9)
        gaps = tuple(gap * 1.5 for gap in made.gaps)
        assert made.first_token is not None
        end = made.first_token + sum(gaps)
        together.append(RequestResult(made.number, made.intended, made.sent, made.first_token, gaps, end, 50, 9,
                                      50, 9, cold=False))  # fmt: skip
    found = calibrate([*alone, *together])
    assert found is not None
    assert found.slowdown_per_stream == pytest.approx(0.5, rel=0.05)


def test_prompts_that_are_all_alike_give_a_level_line() -> None:
    found = calibrate([request(n, 10.0 * n, 100) for n in range(10)])
    assert found is not None
    assert found.first_token_seconds == pytest.approx(FIRST + 100 / PREFILL)


def test_too_few_warm_requests_calibrate_nothing() -> None:
    assert calibrate([request(n, n, 50) for n in range(3)]) is None
    assert calibrate([]) is None


def test_failures_and_requests_of_other_servers_are_left_out() -> None:
    failed = [RequestResult(n, n, n, None, (), n + 1.0, 5, 5, error="refused", cold=False) for n in range(50)]
    foreign = [RequestResult(n, n, n, n + 9.0, (), n + 9.0, 5, 5) for n in range(50)]
    assert calibrate([*failed, *foreign]) is None


@pytest.mark.parametrize(
    ("stages", "tier", "way"),
    [
        ({"queue": 0.1, "fork": 0.01}, "dram", "template"),
        ({"tokenizer": 0.2, "weights": 0.1, "fork": 0.01}, "dram", "dram"),
        ({"tokenizer": 0.2, "weights": 0.1}, "remote", "remote"),
    ],
)
def test_a_start_that_made_no_template_found_one(stages: dict[str, float], tier: str, way: str) -> None:
    assert way_of(RequestResult(0, 0, 0, 1, (), 1, 1, 1, cold=True, tier=tier, stages=stages)) == way
