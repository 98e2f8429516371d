"""An instance stays while what it is expected to save exceeds what its idling costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from quickthaw_platform.contracts import IdleHistory, Keep

WAITING_VALUE = 10.0
"""How many idle device-seconds one second less of waiting is worth."""

PRIOR_GAPS = 16.0
"""How many observed gaps the belief held before any was seen weighs as much as."""


@dataclass(frozen=True, slots=True)
class BreakEvenKeepAlive:
    """Keep for the time T that maximises `P(gap <= T) * price - E[min(gap, T)]` over the gaps seen so far.

    `price` is what a start is worth, in idle device-seconds: `start_seconds * waiting_value`. Before any gap was seen T
    is the price: whoever rents until the rent paid equals the price to buy pays at most twice what knowing the future
    would (ski rental; Karlin, Manasse, Rudolph and Sleator, 1988).

    Few gaps do not decide alone: a prior counts as PRIOR_GAPS of them. It is the gap before the next call of a Poisson
    process of unknown rate, the rate being Gamma(2, price) distributed, for that is the one which by itself makes T the
    price: P(gap > T) = x * x with x = price / (price + T), so its gain is `price * x * (1 - x)`, greatest at T = price.
    """

    waiting_value: float = WAITING_VALUE

    def keep(self, history: IdleHistory) -> Keep:
        """Return the best of: not at all, the price, and each gap seen; of equals the longest."""
        price = history.start_seconds * self.waiting_value
        if price <= 0:
            return Keep(0.0)
        candidates = [(0.0, 0.0), (_gain_at_price(history.gaps, price) + _prior_gain(price, price), price)]
        candidates += [(gain + _prior_gain(at, price), at) for at, gain in _gains(sorted(history.gaps), price)]
        return Keep(max(candidates)[1])


def _prior_gain(seconds: float, price: float) -> float:
    x = price / (price + seconds)
    return PRIOR_GAPS * price * x * (1 - x)


def _gain_at_price(gaps: Iterable[float], price: float) -> float:
    return sum(price - gap if gap <= price else -price for gap in gaps)


def _gains(ascending: Sequence[float], price: float) -> Iterator[tuple[float, float]]:
    """Yield each gap as T, with the gain over all: up to it a start is saved for idling so long, the others idle T."""
    idled = 0.0
    for number, gap in enumerate(ascending, start=1):
        idled += gap
        yield gap, number * price - idled - (len(ascending) - number) * gap
