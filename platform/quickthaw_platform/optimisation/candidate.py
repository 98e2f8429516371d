"""A candidate: an instruction and the examples that are shown with it. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """What an optimiser varies of a prompt."""

    instruction: str
    shown: tuple[int, ...] = ()  # places in the training set, in the order in which the prompt shows them

    @property
    def key(self) -> str:
        """What tells this candidate from any other: 16 hexadecimal digits."""
        text = json.dumps([self.instruction, self.shown], ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def length(self) -> tuple[int, int]:
        """How much of a prompt it takes: examples, then characters of the instruction."""
        return len(self.shown), len(self.instruction)
