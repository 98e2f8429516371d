"""What the batch loop asks of a model: caches for keys and values, and the scores after tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
"""One row a token of the vocabulary: what the model says of the token that comes next."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens of one request to compute: the `past` before them are in its cache. The last `rows` get scores."""

    cache: Any  # made by the same runner
    tokens: Sequence[int]
    past: int
    rows: int = 1


class CacheSharing(Protocol):
    """What a runner can do with caches beyond filling them, so that requests which begin alike share."""

    copies: bool  # whether a fork takes memory of its own for what it begins with

    def store(self, cache: Any) -> Any:
        """Return what is kept of a cache for later requests: something to `fork`, which `Runner.drop` gives back."""

    def fork(self, kept: Any, tokens: int) -> Any:
        """Return a cache that begins with the first `tokens` of what is kept, or of another's cache."""

    def cut(self, cache: Any, tokens: int) -> None:
        """Forget all but the first `tokens` of a cache."""


class Runner(Protocol):
    """Computes chunks. Used by one thread at a time."""

    chunked: bool  # whether a prompt may be computed in pieces
    sharing: CacheSharing | None  # None: caches can be neither forked nor cut
    speculates: bool  # whether the scores of a token do not depend on how many are computed with it, and it shares

    def new_cache(self) -> Any:
        """Return an empty cache for one request."""

    def reserve(self, cache: Any, tokens: int) -> None:
        """Make room in a cache."""

    def drop(self, cache: Any) -> None:
        """Give a cache's memory back; it is not used again."""

    def run(self, chunks: Sequence[Chunk]) -> list[Scores | Exception]:
        """Return for each chunk its scores, [rows, vocabulary], or what went wrong with it.

        Scores hold until the next call.
        """
