"""Ways to make a prompt shorter: ours, and those that it is compared with, each given the tokens that ours took."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from quickthaw.compression import Compressed, FrequencyScorer, InformationScorer, TokenScores, compress
from quickthaw.compression.deletion import kept_ranges
from quickthaw.compression.lexicon import COMMON
from quickthaw.compression.segments import segments

Count = Callable[[str], int]


def ours(text: str, ratio: float, count: Count, ask: Callable[[str], TokenScores] | None, drop: bool) -> Compressed:
    """Return our compression: by frequency, or by a model's information; whole examples may go first."""
    scorer = FrequencyScorer() if ask is None else InformationScorer(ask)
    return compress(text, ratio=ratio, scorer=scorer, count_tokens=count, drop_examples=drop)


def truncated(text: str, tokens: int, count: Count) -> str:
    """Return the end of a text: what models do with a prompt that does not fit."""
    return _without(text, range(len(segments(text).words)), tokens, count)


def randomly_deleted(text: str, tokens: int, count: Count, seed: int = 1) -> str:
    """Delete words at random, but not of the last paragraph: else hardly a question would be left."""
    return _without(text, _shuffled(_before_question(text), seed), tokens, count)


def without_stop_words(text: str, tokens: int, count: Count) -> str:
    """Delete stop words from the beginning on, but not of the last paragraph; fewer than asked for where they end."""
    words = segments(text).words
    stops = [index for index in _before_question(text) if text[slice(*words[index])].strip(".,;:").lower() in COMMON]
    return _without(text, stops, tokens, count)


def _before_question(text: str) -> list[int]:
    end = text.rstrip().rfind("\n\n")
    return [index for index, (start, _) in enumerate(segments(text).words) if start < end]


def _shuffled(order: list[int], seed: int) -> list[int]:
    random.Random(seed).shuffle(order)
    return order


def _without(text: str, order: Sequence[int], tokens: int, count: Count) -> str:
    """Delete the fewest words of an order that leave so many tokens; all of them where that is not enough."""
    words = segments(text).words
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        if count(_kept(text, words, order[:middle])) <= tokens:
            high = middle
        else:
            low = middle + 1
    return _kept(text, words, order[:low])


def _kept(text: str, words: list[tuple[int, int]], gone: Sequence[int]) -> str:
    return "".join(text[start:end] for start, end in kept_ranges(text, words, frozenset(gone)))
