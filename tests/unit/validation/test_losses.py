"""What one form of a model loses against another, from the likeliest tokens that an API names."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw_platform.validation.asking import Position
from quickthaw_platform.validation.base_positions import BasePositions
from quickthaw_platform.validation.losses import WindowLoss, divergence, losses, window_loss


def logs(**parts: float) -> dict[str, float]:
    return {token: math.log(part) for token, part in parts.items()}


def test_equal_distributions_do_not_diverge() -> None:
    same = logs(a=0.5, b=0.3)
    assert divergence(same, same) == pytest.approx(0, abs=1e-12)


def test_with_every_token_named_it_is_the_divergence_itself() -> None:
    full = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert divergence(logs(a=0.5, b=0.5), logs(a=0.25, b=0.75)) == pytest.approx(full, abs=1e-5)


def test_tokens_that_only_one_names_are_among_the_rest() -> None:
    # a, and everything else: 0.6 and 0.4 against 0.2 and 0.8
    expected = 0.6 * math.log(0.6 / 0.2) + 0.4 * math.log(0.4 / 0.8)
    assert divergence(logs(a=0.6, b=0.3), logs(a=0.2, c=0.7)) == pytest.approx(expected)
    assert divergence(logs(b=0.3), logs(c=0.7)) == 0


def test_what_stands_for_several_tokens_is_not_taken_for_one() -> None:
    base, form = logs(a=0.5) | {"\ufffd": math.log(0.4)}, logs(a=0.5) | {"\ufffd": math.log(0.1)}
    assert divergence(base, form) == pytest.approx(0, abs=1e-12)


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_it_is_never_more_than_the_full_divergence_and_never_below_nothing(seed: int, top: int) -> None:
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.full(12, 0.5)) + 1e-9, rng.dirichlet(np.full(12, 0.5)) + 1e-9
    p, q = p / p.sum(), q / q.sum()
    named = [{str(i): math.log(float(d[i])) for i in np.argsort(-d)[:top]} for d in (p, q)]
    full = float((p * np.log(p / q)).sum())
    assert 0 <= divergence(*named) <= full + 1e-5


def position(logprob: float, **parts: float) -> Position:
    return Position(logprob, logs(**parts))


def test_a_window_adds_up_divergence_agreement_and_likelihood() -> None:
    base = [position(-1.0, a=0.6, b=0.3), position(-2.0, a=0.5)]
    form = [position(-1.5, b=0.6, a=0.3), position(-2.0, a=0.5)]
    found = window_loss(base, form)
    assert (found.positions, found.agreed, found.base_nll, found.form_nll) == (2, 1, 3.0, 3.5)
    assert found.divergence == pytest.approx(0.6 * math.log(2) + 0.3 * math.log(0.5))


def test_windows_of_other_lengths_do_not_compare() -> None:
    with pytest.raises(ValueError, match="shorter"):
        window_loss([position(-1.0, a=1.0)], [])


def test_means_are_over_positions_and_lie_in_their_intervals() -> None:
    windows = [WindowLoss(10, 0.1 * i, i, 20.0, 20.0 + i) for i in range(8)]
    found = losses(windows)
    assert found.positions == 80
    assert found.divergence.value == pytest.approx(2.8 / 80)
    assert found.agreement.value == pytest.approx(28 / 80 * 100)
    assert found.ratio.value == pytest.approx(math.exp(28 / 80))
    for figure in (found.divergence, found.agreement, found.ratio):
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low < figure.value < figure.high
    assert losses(windows) == found


def test_few_windows_have_means_without_intervals() -> None:
    found = losses([WindowLoss(1, 0.0, 1, 1.0, 1.0)] * 3)
    assert (found.ratio.value, found.ratio.low, found.agreement.value) == (1.0, None, 100.0)


@pytest.mark.parametrize("windows", [[], [WindowLoss(0, 0.0, 0, 0.0, 0.0)]], ids=["no window", "no position"])
def test_nothing_has_no_mean(windows: list[WindowLoss]) -> None:
    with pytest.raises(ValueError, match="no position"):
        losses(windows)


def test_positions_come_back_as_they_were_kept(tmp_path: Path) -> None:
    kept = {3: [Position(-1.25, {"a": -0.5, "\u00fc": -2.0})], 1: [Position(-2.0, {})] * 2}
    with BasePositions(tmp_path / "base") as positions:
        for window, found in kept.items():
            positions.keep(window, found)
        assert [positions.of(1), positions.of(3), positions.of(1)] == [kept[1], kept[3], kept[1]]
        with pytest.raises(KeyError):
            positions.of(2)
