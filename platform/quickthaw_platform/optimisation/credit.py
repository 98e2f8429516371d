"""Which moves have paid off so far: those that did are drawn more often. Pure."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

H = TypeVar("H", bound=Hashable)


class Credit:
    """Counts tries and wins; a thing's weight is the mean of its chance to win after them (Laplace's rule)."""

    def __init__(self) -> None:
        self._tries: Counter[Hashable] = Counter()
        self._wins: Counter[Hashable] = Counter()

    def weight(self, thing: Hashable) -> float:
        """Return (wins + 1) / (tries + 2)."""
        return (self._wins[thing] + 1) / (self._tries[thing] + 2)

    def draw(self, rng: random.Random, things: Sequence[H], group: str) -> H:
        """Draw one, by the weights of (group, thing)."""
        return rng.choices(things, [self.weight((group, thing)) for thing in things])[0]

    def note(self, things: Iterable[Hashable], won: bool) -> None:
        """Count a try of each."""
        for thing in things:
            self._tries[thing] += 1
            self._wins[thing] += won
