"""How long a step takes by the number of its tokens, as the last steps showed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

NEWEST_WEIGHT = 0.2
MOST_TIMES_AVERAGE = 2.0
"""A step that takes longer than so many averages counts as if it took just so long: something else was in its way."""

REMEMBERED_STEPS = 512
"""What so many steps have not shown again is forgotten: contexts grow, and other work comes and goes."""


@dataclass(slots=True)
class _Average:
    seconds: float
    step: int  # that gave the newest measurement


class StepTimes:
    """Of steps in which each request computes its next token, and some guessed ones."""

    def __init__(self) -> None:
        self._steps = 0
        self._averages: dict[int, _Average] = {}  # by tokens of a step

    def note(self, tokens: int, seconds: float) -> None:
        """Take in how long a step of so many tokens took."""
        self._steps += 1
        average = self._averages.setdefault(tokens, _Average(seconds, self._steps))
        average.seconds += NEWEST_WEIGHT * (min(seconds, MOST_TIMES_AVERAGE * average.seconds) - average.seconds)
        average.step = self._steps
        oldest = self._steps - REMEMBERED_STEPS
        self._averages = {count: one for count, one in self._averages.items() if one.step > oldest}

    def seconds(self, tokens: int) -> float | None:
        """Return how long a step of so many tokens takes; between two numbers that are known, in proportion.

        Above all that are known it's the time of the greatest, so that trying more shows what that takes. None: only
        greater ones are known.
        """
        below = max((count for count in self._averages if count <= tokens), default=None)
        above = min((count for count in self._averages if count >= tokens), default=None)
        if below is None:
            return None
        lower = self._averages[below].seconds
        if above is None or above == below:
            return lower
        return lower + (self._averages[above].seconds - lower) * (tokens - below) / (above - below)
