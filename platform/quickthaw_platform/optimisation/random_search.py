"""Random search: what any optimiser has to beat with the same budget."""

from __future__ import annotations

import random
from typing import ClassVar

from quickthaw_platform.optimisation.candidate import Candidate
from quickthaw_platform.optimisation.contract import Search, Searching, Space, Trial
from quickthaw_platform.optimisation.credit import Credit
from quickthaw_platform.optimisation.moves import Draw, moved

AT_A_TIME = 4
MOST_MOVES = 8
TRIES = 1000


class RandomSearch(Searching):
    """Implements `contract.Optimiser`: scores what a few random moves make of the start, all on the whole set."""

    name: ClassVar[str] = "random"

    def __init__(self, space: Space, seed: int) -> None:
        self._draw = Draw(space, random.Random(f"random {seed}"), Credit())
        super().__init__(self._wander(space))

    def _wander(self, space: Space) -> Search:
        everything = tuple(range(len(space.dev)))
        yield [Trial(space.start, everything)]
        seen = {space.start}
        while new := self._fresh(space.start, seen):
            yield [Trial(one, everything) for one in new]

    def _fresh(self, start: Candidate, seen: set[Candidate]) -> list[Candidate]:
        found: list[Candidate] = []
        for _ in range(TRIES):
            one = start
            for _ in range(self._draw.rng.randint(1, MOST_MOVES)):
                child = moved(one, self._draw)
                one = one if child is None else child.candidate
            if one not in seen:
                seen.add(one)
                found.append(one)
            if len(found) == AT_A_TIME:
                break
        return found
