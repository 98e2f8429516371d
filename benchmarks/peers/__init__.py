"""What the platform is measured against: one module a peer, each started and ended by the benchmark itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class ColdPeer(Protocol):
    """A way to answer a question from nothing."""

    @property
    def name(self) -> str:
        """Name in the tables."""

    def first_token_seconds(self) -> float:
        """Start, ask, wait for the first token, end every process; return request → first token."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One measured batch."""

    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Tokens of all sequences together, prefill included."""
        return self.tokens / self.seconds


class BatchPeer(Protocol):
    """A way to generate many answers at once, its model loaded already."""

    @property
    def name(self) -> str:
        """Name in the tables."""

    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Batch:
        """Generate exactly `new_tokens` for each prompt, greedily."""
