"""Prompt-lookup speculation: what followed the same few tokens earlier is guessed to follow again. Pure.

A guess is computed together with the token before it and kept only where it is the very token that is chosen there, so
an answer is the same with and without. Whether a guess pays depends on how often such guesses were right, which is
learnt of each request, whether or not they were computed; and on how much longer a step takes with more tokens, which
is measured: one that waits for memory takes hardly longer, one that waits for arithmetic takes longer with each.
Source of the idea: A. Saxena, "Prompt Lookup Decoding" (2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quickthaw_backends.engines.batching.step_times import StepTimes

NGRAM_TOKENS = 3
MOST_GUESSED_TOKENS = 4
MOST_FORCED_TOKENS = 16
"""Of the tokens that a grammar leaves no choice in."""

FIRST_CHANCE = 0.5
CHANCE_WEIGHT = 0.1
FORCED_CHANCE = 0.98
"""That the next token is the guessed one: of a request's first guess, the weight of the newest one, and where a grammar
leaves only one text: the model may divide that into other tokens."""

LEAST_GAIN = 1.05
"""Guesses are computed where a step gives so many times the tokens a second that it gives without."""

MOST_DELAY = 1.25
"""So many times as long may those wait for their next token that guess nothing while others do."""


@dataclass(frozen=True, slots=True)
class Guess:
    """Tokens that may come next, and the chance of each that it does if those before it did."""

    tokens: tuple[int, ...] = ()
    chance: float = 0.0

    def right(self, length: int) -> float:
        """Return how many of the first `length` tokens are right, on average."""
        return sum(self.chance**number for number in range(1, min(length, len(self.tokens)) + 1))


def worthwhile(guesses: Sequence[Guess], times: StepTimes) -> list[int]:
    """Return how many tokens of each guess to compute beside the next token of each request: what gives most a second.

    Where it isn't known how long the step takes without guesses there are none, so that it will be.
    """
    requests = len(guesses)
    plain_seconds = times.seconds(requests)
    longest = max((len(guess.tokens) for guess in guesses), default=0)
    if plain_seconds is None or not longest:
        return [0] * requests
    most_seconds = float("inf") if all(guess.tokens for guess in guesses) else plain_seconds * MOST_DELAY
    best, best_rate = 0, LEAST_GAIN * requests / plain_seconds
    for length in range(1, longest + 1):
        rows = requests + sum(min(length, len(guess.tokens)) for guess in guesses)
        seconds = times.seconds(rows) or plain_seconds
        rate = (requests + sum(guess.right(length) for guess in guesses)) / seconds
        if seconds <= most_seconds and rate > best_rate:
            best, best_rate = length, rate
    return [min(best, len(guess.tokens)) for guess in guesses]


class Guesser:
    """Guesses for one request, and learns how often its guesses are right."""

    def __init__(self) -> None:
        self.chance = FIRST_CHANCE
        self._seen = 0  # tokens whose n-grams are noted
        self._ends: dict[tuple[int, ...], int] = {}  # n-gram to the position after its last occurrence
        self._said: Sequence[int] = ()  # was guessed to come after those seen

    def guess(self, tokens: Sequence[int], most: int) -> Guess:
        """Return at most `most` tokens that may come after `tokens`: all of prompt and answer so far, ever longer."""
        self._learn(tokens[self._seen :])
        follows = self._note(tokens)
        self._said = () if follows is None else tokens[follows : follows + MOST_GUESSED_TOKENS]
        return Guess(tuple(self._said[:most]), self.chance)

    def _learn(self, came: Sequence[int]) -> None:
        """Compare what was guessed to what came: nothing is known of a guess behind a wrong one."""
        for said, token in zip(self._said, came, strict=False):
            self.chance += CHANCE_WEIGHT * ((said == token) - self.chance)
            if said != token:
                return

    def _note(self, tokens: Sequence[int]) -> int | None:
        """Note the n-grams of new tokens; return where the text begins that followed an earlier one like the last."""
        follows = None
        for end in range(max(self._seen + 1, NGRAM_TOKENS), len(tokens) + 1):
            ngram = tuple(tokens[end - NGRAM_TOKENS : end])
            follows = self._ends.get(ngram)
            self._ends[ngram] = end
        self._seen = len(tokens)
        return follows
