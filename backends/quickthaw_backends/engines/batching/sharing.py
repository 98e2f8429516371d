"""Which requests begin alike: the keys and values of what they have in common are computed once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from quickthaw_backends.engines.batching.prefixes import LEAST_TOKENS, PrefixCache, Tokens, common
from quickthaw_backends.engines.batching.runner import CacheSharing, Runner
from quickthaw_backends.engines.batching.sequence import Sequence

_LOOKED_AT = 16
"""Of the waiting requests, how many are compared with others before a step."""


class Sharing:
    """For the batch loop's thread only."""

    def __init__(self, runner: Runner, prefixes: PrefixCache) -> None:
        self._runner = runner
        self._caches = runner.sharing
        self._prefixes = prefixes

    @property
    def tokens(self) -> int:
        """How many tokens are kept that no running request holds for itself."""
        return self._prefixes.tokens

    def evict(self) -> bool:
        """Give back what was not used for longest; False where nothing may go."""
        return self._prefixes.evict()

    def offer(self, running: Iterable[Sequence], waiting: Iterable[Sequence], room: int) -> list[Sequence]:
        """Return who may be admitted, each with the kept beginning that it can take.

        A request that begins like one before it waits until that has computed what they share; so do those behind it.
        What running requests share is kept for it where that fits into the `room`, in tokens.
        """
        candidates: list[Sequence] = []
        leaders = list(running)
        for sequence in waiting:
            sequence.offer, sequence.shared = None, 0
            if self._caches is not None and not sequence.scores_prompt and len(candidates) < _LOOKED_AT:
                sequence.offer = self._prefixes.find(_shareable(sequence))
                if self._waits_for_leader(self._caches, sequence, leaders, room):
                    break
                sequence.shared = 0 if self._caches.copies or not sequence.offer else sequence.offer[1]
            candidates.append(sequence)
            leaders.append(sequence)
        return candidates

    def begin(self, sequence: Sequence) -> None:
        """Give a request that is admitted its cache, with what it was offered."""
        if sequence.offer is None or self._caches is None:
            sequence.cache = self._runner.new_cache()
            return
        sequence.prefix, count = sequence.offer
        sequence.offer = None
        sequence.prefix.users += 1
        sequence.cache = self._caches.fork(sequence.prefix.cache, count)
        sequence.computed = count
        sequence.answer.cached_tokens = min(count, len(sequence.prompt))

    def abandon(self, sequence: Sequence) -> None:
        """Take a request's cache away: it is computed again later."""
        self._let_go(sequence)
        self._runner.drop(sequence.cache)
        sequence.cache, sequence.computed, sequence.reserved, sequence.shared = None, 0, 0, 0

    def end(self, sequence: Sequence) -> None:
        """Keep the cache of a request that has ended, where another may begin like it."""
        if sequence.cache is None:
            return
        cache, sequence.cache = sequence.cache, None
        self._let_go(sequence)
        tokens = [*sequence.prompt, *sequence.generated][: sequence.computed]
        kept = None if self._caches is None or not self._prefixes.wants(tokens) else self._caches.store(cache)
        self._runner.drop(cache)
        if kept is not None:
            self._prefixes.keep(tokens, kept)

    def _waits_for_leader(
        self, caches: CacheSharing, sequence: Sequence, leaders: Iterable[Sequence], room: int
    ) -> bool:
        offered = sequence.offer[1] if sequence.offer else 0
        wanted = _shareable(sequence)
        for leader in (leader for leader in leaders if not leader.held):  # a held one may never go on
            alike = common(wanted, _shareable(leader))  # its newest token is computed last
            if alike < offered + LEAST_TOKENS or alike > room or leader.scores_prompt:
                continue
            if leader.computed < alike:
                return True
            if self._prefixes.wants(shared := wanted[:alike].tolist()):
                self._prefixes.keep(shared, caches.store(leader.cache))
            sequence.offer = self._prefixes.find(wanted)
            return False
        return False

    @staticmethod
    def _let_go(sequence: Sequence) -> None:
        if sequence.prefix is not None:
            sequence.prefix.users -= 1
            sequence.prefix = None


def _shareable(sequence: Sequence) -> Tokens:
    """Return the tokens that need not be computed if they are kept: all but the last, whose scores are wanted."""
    return np.array([*sequence.prompt, *sequence.generated][:-1], dtype=np.int32)
