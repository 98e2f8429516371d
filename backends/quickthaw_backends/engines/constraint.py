"""What narrows an answer token by token, beside what the model says: its grammar, biases, and when it may end. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from quickthaw.errors import InvalidRequest
from quickthaw.generation import Sampling
from quickthaw_backends.engines.structure.guide import Guide, Mask

Row = NDArray[np.float32]

_NEVER = np.float32("-inf")


class Constraint:
    """Says of one answer which tokens may come next, and adds the request's biases to their scores."""

    def __init__(
        self, sampling: Sampling, eos: frozenset[int], guide: Guide | None, stops: Collection[int] = ()
    ) -> None:
        """`eos` are the tokens that end an answer by the model's own word; `guide` stands where the answer does.

        `stops` are special tokens that a stop string names; they end an answer as `stop_token_ids` do.
        """
        stops = {*sampling.stop_token_ids, *stops}
        self.guide = guide
        self.failure: InvalidRequest | None = None  # for engines that cannot raise where they choose
        self.ends = frozenset(stops) | (frozenset() if sampling.ignore_eos else eos)
        self.least = sampling.min_tokens
        self._bias = _bias(sampling)
        self._never = _array(eos - self.ends) if guide is not None else _array(())
        self._never_yet = _array(eos | self.ends)
        self._stops = _array(stops)

    @property
    def narrows(self) -> bool:
        """Whether it changes anything of what the model says."""
        return self.guide is not None or self._bias is not None or self.least > 0

    def ends_with(self, token: int, count: int) -> bool:
        """Whether `token`, the last of `count`, ends the answer."""
        return token in self.ends and count > self.least

    def advance(self, token: int) -> bool:
        """Take the next token of the answer; return whether the grammar leaves nothing that could follow it."""
        if self.guide is None:
            return False
        self.guide.advance(token)
        return self.guide.stopped

    def allowed(self, count: int, vocabulary: int) -> Mask | None:
        """Return what may follow `count` tokens; None: any of the `vocabulary`.

        Raises InvalidRequest where the grammar allows nothing, or a limit of it is reached.
        """
        banned = self._never_yet if count < self.least else self._never
        if self.guide is None:
            return None if banned.size == 0 else _without(np.ones(vocabulary, dtype=np.bool_), banned)
        mask = self.guide.mask()
        if self._stops.size and self.guide.accepting:
            mask[self._stops] = True
        return _without(mask, banned)

    def apply(self, scores: Row, count: int) -> Row:
        """Return the scores of what may follow `count` tokens, biases added; what may not has minus infinity."""
        return self.narrowed(scores, self.allowed(count, len(scores)))

    def narrowed(self, scores: Row, allowed: Mask | None) -> Row:
        """Return the scores with biases added, and minus infinity where it is not `allowed`."""
        if self._bias is not None:
            scores = scores.copy()
            scores[self._bias[0]] += self._bias[1]
        return scores if allowed is None else np.where(allowed, scores, _NEVER)


def check_constraint(sampling: Sampling, vocabulary: int) -> None:
    """Raise InvalidRequest for a token id that a vocabulary of this size does not have."""
    for name, tokens in (("logit_bias", sampling.logit_bias), ("stop_token_ids", sampling.stop_token_ids)):
        if wrong := [token for token in tokens if not 0 <= token < vocabulary]:
            raise InvalidRequest(
                f"{name} names the token {wrong[0]}; ids must be from 0 to {vocabulary - 1:,}", param=name
            )


def _without(mask: Mask, banned: NDArray[np.int64]) -> Mask:
    """Take tokens out, unless nothing would be left: where only an end can follow, it does."""
    if banned.size == 0:
        return mask
    left = mask.copy()
    left[banned] = False
    return left if left.any() else mask


def _bias(sampling: Sampling) -> tuple[NDArray[np.int64], Row] | None:
    """Return tokens and what is added to their scores; None: nothing is."""
    if not sampling.logit_bias:
        return None
    return np.array(list(sampling.logit_bias)), np.array(list(sampling.logit_bias.values()), dtype=np.float32)


def _array(tokens: Iterable[int]) -> NDArray[np.int64]:
    return np.array(sorted(tokens), dtype=np.int64)
