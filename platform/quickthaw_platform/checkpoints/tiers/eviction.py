"""Which cached checkpoints make room for another. Pure: no I/O, no clock, no log.

Greedy-Dual-Size with Frequency (Cherkasova, HPL-98-69R1): what is used often, dear to bring back and small stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Cached:
    """A checkpoint in a tier, as eviction sees it. `age_base` is the tier's inflation when it was last used."""

    id: str
    bytes: int
    reload_seconds: float
    uses: int = 0
    age_base: float = 0.0

    @property
    def priority(self) -> float:
        """The lower, the sooner it goes."""
        return self.age_base + self.uses * self.reload_seconds / max(1, self.bytes)

    def used(self, inflation: float) -> Cached:
        """Return it after one more use, while the tier's inflation is this."""
        return replace(self, uses=self.uses + 1, age_base=inflation)


@dataclass(frozen=True, slots=True)
class Eviction:
    """What goes, and the tier's inflation from then on: the priority of the dearest of them."""

    victims: tuple[str, ...]
    inflation: float


def choose_victims(evictable: Iterable[Cached], bytes_wanted: int, inflation: float) -> Eviction | None:
    """Return the cheapest of `evictable` that free so many bytes together; None where all of them do not."""
    victims: list[str] = []
    freed = 0
    for cached in sorted(evictable, key=lambda c: (c.priority, c.id)):
        if freed >= bytes_wanted:
            break
        victims.append(cached.id)
        freed += cached.bytes
        inflation = max(inflation, cached.priority)
    return Eviction(tuple(victims), inflation) if freed >= bytes_wanted else None
