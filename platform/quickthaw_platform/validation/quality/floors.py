"""Continuations that need no model: what a score is worth shows only beside theirs (pure)."""

from __future__ import annotations

import random
from collections.abc import Sequence

from quickthaw_platform.validation.quality.passages import Passage

COPY = "copy"
RANDOM = "random"
UNIGRAMS = "unigrams"


def floors(passages: Sequence[Passage], seed: int) -> dict[str, list[str]]:
    """Return the continuations of each floor by its name.

    `copy` repeats the end of the prompt, `random` takes the continuation of another passage, `unigrams` draws words of
    the passages' prompts by how often they are there. With one passage there is no `random`.
    """
    found = {COPY: [_copied(passage) for passage in passages], UNIGRAMS: _unigrams(passages, seed)}
    if len(passages) > 1:
        found[RANDOM] = _others(passages, seed)
    return found


def _copied(passage: Passage) -> str:
    length = len(passage.reference.split())
    return " ".join(passage.prompt.split()[-length:])


def _others(passages: Sequence[Passage], seed: int) -> list[str]:
    """Return other passages' continuations: those that come next in a random order, so that none is its own."""
    order = list(range(len(passages)))
    random.Random(seed).shuffle(order)
    following = dict(zip(order, [*order[1:], order[0]], strict=True))
    return [passages[following[place]].reference for place in range(len(passages))]


def _unigrams(passages: Sequence[Passage], seed: int) -> list[str]:
    rng = random.Random(seed)
    words = [word for passage in passages for word in passage.prompt.split()]
    return [" ".join(rng.choices(words, k=len(passage.reference.split()))) for passage in passages]
