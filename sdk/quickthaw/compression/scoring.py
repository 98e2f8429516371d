"""How much each word of a text says: the contract, and a score that needs no model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from quickthaw.compression.lexicon import share_of

PRIOR_WORDS = 10_000.0
"""So many words of the text would weigh as much as what is known of the language."""


class Scorer(Protocol):
    """Says how much is lost with each word."""

    def scores(self, text: str, words: Sequence[tuple[int, int]]) -> Sequence[float]:
        """Return one number for each word, given as (start, end) in characters: nats; the least is deleted first."""


class FrequencyScorer:
    """A word says the more the rarer it is: minus the logarithm of its share.

    The share is that in the text, mixed with that in English (Dirichlet smoothing), so that it also holds in short
    texts. It needs no model and takes linear time.
    """

    def scores(self, text: str, words: Sequence[tuple[int, int]]) -> list[float]:
        """Return the nats of each word."""
        plain = [text[start:end].strip(".,;:!?()[]\"'").lower() for start, end in words]
        seen = Counter(plain)
        total = len(plain) + PRIOR_WORDS
        known = {word: -math.log((count + PRIOR_WORDS * share_of(word)) / total) for word, count in seen.items()}
        return [known[word] for word in plain]
