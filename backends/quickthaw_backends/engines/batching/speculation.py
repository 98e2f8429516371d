"""Prompt-lookup speculation: what followed the same few tokens earlier is guessed to follow again.

A guess is computed together with the token before it and kept only where it is the very token that is chosen there, so
an answer is the same with and without. Guessing costs a step some time: after a wrong guess it rests, longer each time.
Source of the idea: A. Saxena, "Prompt Lookup Decoding" (2023).
"""

from __future__ import annotations

from collections.abc import Sequence

NGRAM_TOKENS = 3
MOST_GUESSED_TOKENS = 4
MOST_FORCED_TOKENS = 16
"""Of the tokens that a grammar leaves no choice in: these are nearly always right."""

FIRST_REST_TOKENS = 8
LONGEST_REST_TOKENS = 512


class Guesser:
    """Guesses for one request, and learns how often its guesses are right."""

    def __init__(self) -> None:
        self._seen = 0  # tokens whose n-grams are noted
        self._ends: dict[tuple[int, ...], int] = {}  # n-gram to the position after its last occurrence
        self._length = 1
        self._rest = FIRST_REST_TOKENS
        self._resting_until = 0

    def guess(self, tokens: Sequence[int], most: int) -> tuple[int, ...]:
        """Return at most `most` tokens that may come after `tokens`: all of prompt and answer so far, ever longer."""
        follows = self._note(tokens)
        if follows is None or len(tokens) < self._resting_until:
            return ()
        return tuple(tokens[follows : follows + min(most, self._length)])

    def judge(self, guessed: int, right: int) -> None:
        """Take the word on a guess of `guessed` tokens, of which the first `right` were so."""
        if right == guessed:
            self._length = min(self._length * 2, MOST_GUESSED_TOKENS)
            self._rest = FIRST_REST_TOKENS
        else:
            self._length = max(1, right)
            self._resting_until = self._seen + (self._rest if right == 0 else 0)
            self._rest = min(self._rest * 2, LONGEST_REST_TOKENS) if right == 0 else self._rest

    def _note(self, tokens: Sequence[int]) -> int | None:
        """Note the n-grams of new tokens; return where the text begins that followed an earlier one like the last."""
        follows = None
        for end in range(max(self._seen + 1, NGRAM_TOKENS), len(tokens) + 1):
            ngram = tuple(tokens[end - NGRAM_TOKENS : end])
            follows = self._ends.get(ngram)
            self._ends[ngram] = end
        self._seen = len(tokens)
        return follows
