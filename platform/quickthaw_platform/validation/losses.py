"""How far one form of a model is from another, position by position, from the likeliest tokens of both (pure).

The divergence is D(P‖Q) = Σ p·ln(p/q), in nats, of the base's next-token distribution P from the form's Q. An API tells
the likeliest tokens only, so both are taken over the tokens that both name, with all others as one more: by the log-sum
inequality this is never more than the full divergence (Cover and Thomas 2006, 2.7). It is a lower bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickthaw.results import Measured
from quickthaw_platform.validation.asking import Position

REPLICATES = 1000
SEED = 15
FEWEST = 4
"""With fewer windows to draw from, an interval would say more than is known."""

LEAST = 1e-7
"""Below this a rest is rounding: log-probabilities come in single precision."""

UNKNOWN = "\ufffd"
"""What several tokens are written as that are no whole characters; they count among the rest."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WindowLoss:
    """What a window's positions add up to."""

    positions: int
    divergence: float  # in nats
    agreed: int  # positions at which both have the same likeliest token
    base_nll: float
    form_nll: float


@dataclass(frozen=True, slots=True)
class Losses:
    """How much a form loses against the base, over all positions."""

    positions: int
    divergence: Measured  # mean, in nats, a lower bound
    agreement: Measured  # part of positions, in percent
    ratio: Measured  # perplexity of the form over the base's, on the same positions


def window_loss(base: Sequence[Position], form: Sequence[Position]) -> WindowLoss:
    """Compare a window's positions; ValueError where they are not as many."""
    pairs = list(zip(base, form, strict=True))
    return WindowLoss(
        positions=len(pairs),
        divergence=math.fsum(divergence(one.top, other.top) for one, other in pairs),
        agreed=sum(_likeliest(one.top) == _likeliest(other.top) for one, other in pairs),
        base_nll=-math.fsum(one.logprob for one in base),
        form_nll=-math.fsum(other.logprob for other in form),
    )


def divergence(base: Mapping[str, float], form: Mapping[str, float]) -> float:
    """Return the lower bound of the divergence, in nats, from the natural log-probabilities that both tell."""
    both = sorted(token for token in base.keys() & form.keys() if UNKNOWN not in token)
    known = math.fsum(math.exp(base[token]) * (base[token] - form[token]) for token in both)
    p = max(LEAST, 1 - math.fsum(math.exp(base[token]) for token in both))
    q = max(LEAST, 1 - math.fsum(math.exp(form[token]) for token in both))
    return max(0.0, known + p * math.log(p / q))


def losses(windows: Sequence[WindowLoss]) -> Losses:
    """Add windows up; intervals are drawn over them. ValueError where there is no position."""
    counts = np.array([window.positions for window in windows], dtype=np.float64)
    if not counts.sum():
        raise ValueError("there is no position to compare")
    draw = _Draw(counts)
    log_ratio = draw.mean(np.array([window.form_nll - window.base_nll for window in windows]))
    agreed = draw.mean(np.array([window.agreed for window in windows]) * 100.0)
    return Losses(
        positions=int(counts.sum()),
        divergence=draw.mean(np.array([window.divergence for window in windows])),
        agreement=agreed,
        ratio=_exponential(log_ratio),
    )


def _likeliest(top: Mapping[str, float]) -> str | None:
    return max(top, key=lambda token: (top[token], token), default=None)


def _exponential(nats: Measured) -> Measured:
    bound = None if nats.low is None or nats.high is None else (math.exp(nats.low), math.exp(nats.high))
    if bound is None:
        return Measured(value=math.exp(nats.value))
    return Measured(value=math.exp(nats.value), low=bound[0], high=bound[1])


class _Draw:
    """Means per position, with intervals from drawing blocks of neighbouring windows around the end.

    Blocks are as long as the cube root of their number (circular block bootstrap: Politis and Romano 1992; Hall,
    Horowitz and Jing 1995).
    """

    def __init__(self, counts: Floats) -> None:
        self._counts = counts
        length = max(1, round(len(counts) ** (1 / 3)))
        blocks = math.ceil(len(counts) / length)
        self._enough = blocks >= FEWEST
        begins = np.random.default_rng(SEED).integers(0, len(counts), (REPLICATES, blocks))
        places = (begins[:, :, None] + np.arange(length)) % len(counts)
        self._drawn = places.reshape(REPLICATES, -1)[:, : len(counts)]

    def mean(self, sums: Floats) -> Measured:
        """Return sum over count of all windows, with its interval."""
        value = math.fsum(sums) / math.fsum(self._counts)
        if not self._enough:
            return Measured(value=value)
        replicates = sums[self._drawn].sum(axis=1) / self._counts[self._drawn].sum(axis=1)
        low, high = np.quantile(replicates, (0.025, 0.975))
        return Measured(value=value, low=min(float(low), value), high=max(float(high), value))
