"""How much each word says to a model: minus the logarithm of its probability, given what stands before it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from quickthaw.compression.segments import Range

TokenScores = Sequence[tuple[str, float | None]]
"""The tokens of a text in order: each one's text, and its natural log-probability; None for the first."""

WINDOW_BYTES = 2000
"""Of a text that a model is asked about at once. No token is shorter than a byte, so it fits 2,000 tokens."""

CONTEXT_BYTES = 500
"""Of what stands before, which the model reads again so that a window's first words have a context."""


class InformationScorer:
    """Asks a model. Texts longer than a window are read window by window, each with the end of the one before."""

    def __init__(
        self, ask: Callable[[str], TokenScores], window_bytes: int = WINDOW_BYTES, context_bytes: int = CONTEXT_BYTES
    ) -> None:
        """`ask` returns the tokens of a text, such as `echo` and `logprobs` of a completion make them."""
        self._ask = ask
        self._window_bytes = window_bytes
        self._context_bytes = context_bytes

    def scores(self, text: str, words: Sequence[Range]) -> list[float]:
        """Return the nats of each word: those of its tokens, a token's characters having equal parts of them."""
        told = [0.0]
        for start, first, end in self._windows(text, words):
            told += _of_characters(self._ask(text[start:end]), end - start)[first - start :]
        sums = list(accumulate(told))
        return [sums[end] - sums[start] for start, end in words]

    def _windows(self, text: str, words: Sequence[Range]) -> Iterator[tuple[int, int, int]]:
        """Yield where each window's context, the window itself and its end are; it ends before a word if it can."""
        sizes = [0, *accumulate(len(character.encode(errors="surrogatepass")) for character in text)]
        starts = [word[0] for word in words]
        first = 0
        while first < len(text):
            context = bisect_right(sizes, max(sizes[first] - self._context_bytes, 0)) - 1
            end = max(bisect_right(sizes, sizes[context] + self._window_bytes) - 1, first + 1)
            if end < len(text):
                at = bisect_right(starts, end) - 1
                end = starts[at] if at >= 0 and starts[at] > first else end
            yield context, first, end
            first = end


def _of_characters(tokens: TokenScores, length: int) -> list[float]:
    """Return the nats of each character.

    Where the tokens' texts are not as long as the text (some tokens are parts of a character), they are stretched.
    """
    total = sum(len(text) for text, _ in tokens) or 1
    found = [0.0] * length
    place = 0
    for text, logprob in tokens:
        start, place = place, place + len(text)
        first = min(start * length // total, length - 1)
        last = max(place * length // total, first + 1)
        for index in range(first, min(last, length)):
            found[index] -= (logprob or 0.0) / (last - first)
    return found
