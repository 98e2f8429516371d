"""Keys and values that outlive their request, for the next one that begins with the same tokens."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_TOKENS = 16
"""Shorter beginnings are not worth a place."""

MOST_ENTRIES = 32

Tokens = NDArray[np.int32]


@dataclass(slots=True, eq=False)
class Prefix:
    """A kept cache: `tokens` are what it holds. What is in use is not evicted, and what is pinned only when it is the
    last: others may rest on it.
    """

    tokens: Tokens
    cache: Any
    used: int = 0  # the tick of its last use
    users: int = 0  # running requests that share its memory
    pinned: bool = False


def common(left: Tokens, right: Tokens) -> int:
    """Return how many tokens two sequences have in common at their beginning."""
    length = min(len(left), len(right))
    differing = np.flatnonzero(left[:length] != right[:length])
    return int(differing[0]) if len(differing) else length


class PrefixCache:
    """The kept caches, least recently used first to go. Used by the batch loop's thread, and before it starts."""

    def __init__(self, drop: Callable[[Any], None], most_tokens: int) -> None:
        """`drop` gives a cache's memory back; `most_tokens` are kept at a time, what is pinned not counted."""
        self._drop = drop
        self._most_tokens = most_tokens
        self._entries: list[Prefix] = []
        self._ticks = itertools.count(1)

    @property
    def tokens(self) -> int:
        """How many tokens are kept."""
        return sum(len(entry.tokens) for entry in self._entries)

    def find(self, wanted: Tokens) -> tuple[Prefix, int] | None:
        """Return the entry that has the most of a beginning, and how many tokens; None: none worth it."""
        found = max(((common(entry.tokens, wanted), entry) for entry in self._entries), key=_first, default=(0, None))
        count, entry = found
        if entry is None or count < LEAST_TOKENS:
            return None
        entry.used = next(self._ticks)
        return entry, count

    def wants(self, tokens: Sequence[int]) -> bool:
        """Whether a cache that holds these tokens is worth keeping: of a size that pays, and not in another."""
        held = np.asarray(tokens, dtype=np.int32)
        known = any(common(entry.tokens, held) == len(held) for entry in self._entries)
        return not known and LEAST_TOKENS <= len(held) <= self._most_tokens

    def keep(self, tokens: Sequence[int], cache: Any, *, pinned: bool = False) -> None:
        """Keep a cache that holds `tokens`; what it makes needless goes."""
        held = np.asarray(tokens, dtype=np.int32)
        for entry in [e for e in self._entries if common(e.tokens, held) == len(e.tokens) and self._may_go(e)]:
            self._remove(entry)
        self._entries.append(Prefix(held, cache, next(self._ticks), pinned=pinned))
        while len(self._entries) > MOST_ENTRIES or self._unpinned() > self._most_tokens:
            if not self.evict():
                return

    def evict(self) -> bool:
        """Drop the entry that was not used for longest; False where none may go."""
        candidates = [e for e in self._entries if not e.users and (not e.pinned or len(self._entries) == 1)]
        if not candidates:
            return False
        self._remove(min(candidates, key=lambda entry: entry.used))
        return True

    def clear(self) -> None:
        """Drop everything, what is pinned too: what was computed is not true any more. Nothing may be in use."""
        for entry in list(self._entries):
            self._remove(entry)

    def _unpinned(self) -> int:
        return sum(len(entry.tokens) for entry in self._entries if not entry.pinned)

    @staticmethod
    def _may_go(entry: Prefix) -> bool:
        return not entry.users and not entry.pinned

    def _remove(self, entry: Prefix) -> None:
        self._entries.remove(entry)
        self._drop(entry.cache)


def _first(pair: tuple[int, Prefix | None]) -> int:
    return pair[0]
