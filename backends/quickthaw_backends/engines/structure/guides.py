"""Grammars compiled once, and a guide for each answer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from quickthaw_backends.engines.structure.guide import Guide

_MOST_GRAMMARS = 64
_MOST_GRAMMAR_BYTES = 4 << 20
"""All grammars that are kept, as texts. One takes several times as much when it is compiled."""


def _limits() -> LLParserLimits:
    """Return what bounds a grammar: each mask takes some milliseconds at most, and some tens of megabytes."""
    return LLParserLimits(
        initial_lexer_fuel=1_000_000,  # about 20 ms
        step_lexer_fuel=100_000,  # about 7 ms
        step_max_items=50_000,  # about 2.5 ms
        max_lexer_states=30_000,  # about 1-2 kB each
        max_grammar_size=500_000,
        verbose_errors=False,
    )


class Guides:
    """Makes guides. Any thread may ask; who asks first for a grammar compiles it, and those who also want it wait.

    Compiling does not hold Python's lock, so whoever computes meanwhile goes on.
    """

    def __init__(self, tokenizer: LLTokenizer, vocabulary: int) -> None:
        """`vocabulary` is how many tokens the model scores: as many as the tokenizer has, or more."""
        self.tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Future[Guide]] = OrderedDict()  # least recently used first

    def guide(self, grammar: str) -> Guide:
        """Return a guide at the beginning of a grammar, which is text that llguidance reads.

        Raises InvalidRequest with the reason where it cannot be compiled, is too large or allows nothing.
        """
        with self._lock:
            made = self._kept.get(grammar)
            if made is None:
                mine = self._kept[grammar] = Future()
            else:
                self._kept.move_to_end(grammar)
        if made is None:
            made = mine
            self._compile(grammar, mine)
        first = made.result()
        with self._lock:
            return first.copy()

    def _compile(self, grammar: str, into: Future[Guide]) -> None:
        try:
            guide = Guide(LLMatcher(self.tokenizer, grammar, log_level=0, limits=_limits()), self._vocabulary)
            guide.mask()  # shows what is wrong with it, and builds the first states of its lexer
        except Exception as error:  # noqa: BLE001 (whoever waits for it gets the error)
            with self._lock:
                self._kept.pop(grammar, None)
            into.set_exception(error)
        else:
            into.set_result(guide)
            self._evict()

    def _evict(self) -> None:
        with self._lock:
            size = sum(map(len, self._kept))
            while len(self._kept) > 1 and (len(self._kept) > _MOST_GRAMMARS or size > _MOST_GRAMMAR_BYTES):
                grammar, _ = self._kept.popitem(last=False)
                size -= len(grammar)
