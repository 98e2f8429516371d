"""Where one answer stands in its grammar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from quickthaw.errors import InvalidRequest

Mask = NDArray[np.bool_]
"""One element a token of the vocabulary: whether it may come next."""

_LONGEST_REASON = 300


class Guide:
    """Says which tokens may come next. For one thread at a time.

    What it says is a function of the grammar and the tokens it was given: so an answer that is continued elsewhere is
    guided as the undisturbed one is. The tokens that end an answer are allowed where it is complete.
    """

    def __init__(self, matcher: LLMatcher, vocabulary: int) -> None:
        """`vocabulary` is how many tokens the model scores."""
        self._matcher = matcher
        self._vocabulary = vocabulary

    def mask(self) -> Mask:
        """Return what may come next. Raises InvalidRequest where nothing may, or a limit of the grammar is reached."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._check()
        mask = np.unpackbits(bits, count=self._vocabulary, bitorder="little").view(np.bool_)
        if not mask.any():
            raise InvalidRequest("the structure allows no token here: nothing satisfies it", param="structure")
        return mask

    def advance(self, token: int) -> None:
        """Take the next token. After one that may not come, or past a limit, `mask` raises."""
        self._matcher.consume_token(token)

    def forced(self) -> list[int]:
        """Return the tokens that most likely come next, since the grammar leaves no other text; often none."""
        return [] if self.stopped else self._matcher.compute_ff_tokens()

    def fitting(self, tokens: Sequence[int]) -> int:
        """Return how many of the first `tokens` may come next, one after the other."""
        return self._matcher.validate_tokens(list(tokens))

    def copy(self) -> Guide:
        """Return one that stands where this one does and goes its own way."""
        return Guide(self._matcher.deep_copy(), self._vocabulary)

    @property
    def accepting(self) -> bool:
        """Whether the answer is complete, though more may follow."""
        return not self._matcher.is_error() and self._matcher.is_accepting()

    @property
    def stopped(self) -> bool:
        """Whether the answer is complete and no text can follow."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def _check(self) -> None:
        if self._matcher.is_error():
            reason = " ".join(self._matcher.get_error().split())[:_LONGEST_REASON]
            raise InvalidRequest(f"the structure cannot be followed: {reason}", param="structure")
