"""From the sums of each window to a protocol's values and their intervals. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.validation.planning import Plan
from quickthaw_platform.validation.result import Interval, Measure, Sums, exponential

Floats = NDArray[np.float64]

REPLICATES = 1000
SEED = 15
FEWEST_BLOCKS = 4
"""With fewer to draw from, an interval would say more than is known."""


@dataclass(frozen=True, slots=True)
class WindowScore:
    """What came of one window: the sum over its scored tokens of the negative log-likelihood, in nats."""

    window: int
    nll: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Values:
    """The sums, and what follows from them."""

    sums: Sums
    perplexity: Measure
    word_perplexity: Measure | None
    byte_perplexity: Measure | None
    bits_per_byte: Measure | None


def values(plan: Plan, scores: Sequence[WindowScore]) -> Values:
    """Return what the scores of all the plan's windows come to."""
    ordered = sorted(scores, key=lambda score: score.window)
    nll = np.array([score.nll for score in ordered])
    tokens = np.array([score.tokens for score in ordered], dtype=np.float64)
    counted = np.array([window.counted for window in plan.windows], dtype=np.float64)
    of = np.array([window.document for window in plan.windows])
    count = len(plan.documents) if plan.by_document else len(ordered)
    places = of if plan.by_document else np.arange(count)
    units = _Units(places, count)
    words = np.array([document.words for document in plan.documents], dtype=np.float64)
    sizes = np.array([document.bytes for document in plan.documents], dtype=np.float64)
    sums = Sums(
        nll=math.fsum(nll), tokens=int(tokens.sum()),
        words=int(words.sum()) if plan.whole else None, bytes=int(sizes.sum()) if plan.whole else None,
    )  # fmt: skip
    mean = units.ratio(nll / tokens * counted, counted)
    if not plan.whole:
        return Values(sums, _perplexity(mean), None, None, None)
    by_word, by_byte = units.rate(nll, words, plan.by_document), units.rate(nll, sizes, plan.by_document)
    bits = Measure(value=by_byte.value / math.log(2), interval=_scaled(by_byte.interval, 1 / math.log(2)))
    return Values(sums, _perplexity(mean), _perplexity(by_word), _perplexity(by_byte), bits)


def _perplexity(nats: Measure) -> Measure:
    found = nats.interval
    interval = None if found is None else Interval(low=exponential(found.low), high=exponential(found.high))
    return Measure(value=exponential(nats.value), interval=interval)


def _scaled(interval: Interval | None, by: float) -> Interval | None:
    return None if interval is None else Interval(low=interval.low * by, high=interval.high * by)


class _Units:
    """What is drawn again in the bootstrap: documents where each was scored by itself, else windows.

    Neighbours depend on each other, so blocks of them are drawn, around the end (circular block bootstrap: Politis and
    Romano 1992), as long as the cube root of their number (Hall, Horowitz and Jing 1995).
    """

    def __init__(self, places: NDArray[np.int_], count: int) -> None:
        self._places = places
        self._count = count
        length = max(1, round(count ** (1 / 3)))
        self._blocks = math.ceil(count / length)
        rng = np.random.default_rng(SEED)
        begins = rng.integers(0, count, (REPLICATES, self._blocks))
        drawn = ((begins[:, :, None] + np.arange(length)) % count).reshape(REPLICATES, -1)[:, :count]
        self._drawn = drawn

    def ratio(self, above: Floats, below: Floats) -> Measure:
        """Return sum(above) / sum(below), both by window."""
        return self._measured(self._by_unit(above), self._by_unit(below))

    def rate(self, nll: Floats, sizes: Floats, by_document: bool) -> Measure:
        """Return sum(nll) / sum(sizes), `sizes` being of documents; without documents as units theirs is shared out."""
        if by_document:
            return self._measured(self._by_unit(nll), sizes)
        return self._measured(self._by_unit(nll), np.full(self._count, sizes.sum() / self._count))

    def _by_unit(self, by_window: Floats) -> Floats:
        return np.bincount(self._places, weights=by_window, minlength=self._count).astype(np.float64)

    def _measured(self, above: Floats, below: Floats) -> Measure:
        value = math.fsum(above) / math.fsum(below)
        if self._blocks < FEWEST_BLOCKS:
            return Measure(value=value)
        replicates = above[self._drawn].sum(axis=1) / below[self._drawn].sum(axis=1)
        low, high = np.quantile(replicates, (0.025, 0.975))
        return Measure(value=value, interval=Interval(low=float(low), high=float(high)))
