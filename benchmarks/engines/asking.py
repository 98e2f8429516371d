"""Asks a server for answers of an exact length, the same way whoever serves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.bodies import greedy_body
from benchmarks.client import Target
from benchmarks.load import wave
from benchmarks.sse import Stream

Messages = Sequence[Mapping[str, str]]

PATIENCE_SECONDS = 1800.0
"""Some need minutes for sixteen streams of a model of 1B."""


@dataclass(frozen=True, slots=True)
class Asker:
    """One server. `model`: its name there; `more`: what it wants beyond that to answer greedily and never end early."""

    target: Target
    model: str
    more: Mapping[str, Any] = field(default_factory=lambda: {"ignore_eos": True})
    says_done: bool = True  # whether its streams end with `[DONE]`

    def ask(self, conversations: Sequence[Messages], tokens: int) -> list[Stream]:
        """Send all at once and wait for all; RuntimeError where an answer is broken or has another length."""
        bodies = [greedy_body(self.model, one, tokens, **self.more) for one in conversations]
        answers = asyncio.run(wave(self.target, bodies, PATIENCE_SECONDS))
        for answer in answers:
            if answer.error or answer.tokens != tokens or (self.says_done and not answer.done):
                raise RuntimeError(f"{answer.tokens} tokens instead of {tokens}: {answer.error or 'no error'}")
        return answers
