"""Which candidates are worth going on from. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping

from quickthaw_platform.optimisation.candidate import Candidate
from quickthaw_platform.optimisation.contract import Outcome

Pool = Mapping[Candidate, Outcome]
"""Candidates that were scored on the whole development set, in the order in which they were found."""


def best(pool: Pool) -> Candidate:
    """Return the candidate of the highest mean; of equals the shorter, then the one found first."""
    return min(pool, key=lambda one: (-pool[one].mean, one.length))


def wins(pool: Pool) -> dict[Candidate, int]:
    """Return in how many examples each candidate is among the best; only those that are in some.

    Where all are equal the example tells nothing and is left out. (Agrawal et al. 2025, "GEPA", section 3.3.)
    """
    counts: dict[Candidate, int] = {}
    for place in next(iter(pool.values())).scores:
        scores = {one: outcome.scores[place] for one, outcome in pool.items()}
        top = max(scores.values())
        if len(set(scores.values())) > 1:
            for one, score in scores.items():
                counts[one] = counts.get(one, 0) + (score == top)
    return {one: count for one, count in counts.items() if count}


def parent(pool: Pool, rng: random.Random) -> Candidate:
    """Draw one to change: half the time the best, else one that is best somewhere, the more often the more places."""
    counts = wins(pool)
    if not counts or rng.random() < 0.5:
        return best(pool)
    return rng.choices(list(counts), list(counts.values()))[0]
