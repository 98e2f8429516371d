"""What the echo engine says next: the prompt, as far as the request lets it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from llguidance import LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from quickthaw_backends.engines.answers import Answers
from quickthaw_backends.engines.constraint import Constraint
from quickthaw_backends.engines.counter import uniform
from quickthaw_backends.engines.echo_tokenizer import END, MARKS, VOCABULARY, EchoTokenizer
from quickthaw_backends.engines.structure.guide import Mask
from quickthaw_backends.engines.structure.guides import Guides

_ECHOED = 50.0
"""The score of the token that is said back; all others have less than 2. A bias of 100 is stronger."""

_QUOTE = ord('"')
_CLOSING = tuple(b'}]",')
_MANY = 64
"""Where more tokens than this may come next, the grammar is within a text."""


class Voice:
    """Chooses tokens: those of the echo in their order, and where the grammar does not let it, what closes most.

    What it chooses depends on nothing but the echo, the constraint and the tokens before.
    """

    def __init__(self, echo: Sequence[int], constraint: Constraint, *, endless: bool) -> None:
        """`endless`: it begins again where the echo is over."""
        self._echo = tuple(echo)
        self._constraint = constraint
        self._endless = endless
        self._said = 0  # tokens of the echo
        self._last = END

    def hear(self, token: int) -> None:
        """Take the next token of the answer."""
        if self._constraint.guide is None or token == self._wanted(0):
            self._said += 1
        self._last = token

    def choose(self, count: int) -> int:
        """Return what comes after `count` tokens. Raises what `Constraint.allowed` raises."""
        allowed = self._constraint.allowed(count, VOCABULARY)
        scores = self._scores(self._wanted(count), allowed, count)
        return int(self._constraint.narrowed(scores, allowed).argmax())

    def _wanted(self, count: int) -> int:
        over = self._said >= len(self._echo) and not self._endless and count >= self._constraint.least
        return END if over or not self._echo else self._echo[self._said % len(self._echo)]

    def _scores(self, wanted: int, allowed: Mask | None, count: int) -> NDArray[np.float32]:
        scores = -np.arange(VOCABULARY, dtype=np.float32) / np.float32(VOCABULARY)
        scores[wanted] = _ECHOED
        if allowed is not None and not allowed[wanted]:
            scores[self._instead(allowed, count)] = 1.0
        return scores

    def _instead(self, allowed: Mask, count: int) -> int:
        """Return what is said where the echo cannot be: the end, what closes a JSON value, else any letter."""
        if allowed[END]:
            return END
        possible = np.flatnonzero(allowed)
        closing = (_QUOTE,) if len(possible) > _MANY else _CLOSING
        for token in closing:
            if allowed[token] and (token, self._last) != (_QUOTE, _QUOTE):
                return token
        plain = possible[(possible >= ord(" ")) & (possible < 127)]
        letters = plain if len(plain) else possible
        return int(letters[int(uniform(0, count) * len(letters))])


def echo_answers(tokenizer: EchoTokenizer) -> Answers:
    """Return what the echo engine's answers are made with."""
    return Answers(tokenizer, frozenset({END}), VOCABULARY, partial(echo_guides, tokenizer))


class _Tokens:
    """The vocabulary as llguidance's `TokenizerWrapper` asks for it."""

    eos_token_id = END
    bos_token_id = None
    special_token_ids = tuple(MARKS)
    tokens = tuple(MARKS[token].encode() if token in MARKS else bytes([token]) for token in range(VOCABULARY))

    def __init__(self, tokenizer: EchoTokenizer) -> None:
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)


def echo_guides(tokenizer: EchoTokenizer) -> Guides:
    """Make the guides of the echo engine."""
    return Guides(LLTokenizer(TokenizerWrapper(_Tokens(tokenizer))), VOCABULARY)
