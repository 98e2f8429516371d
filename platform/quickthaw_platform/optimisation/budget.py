"""What a search may spend, and what it has spent. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quickthaw_platform.errors import InvalidRequest

FRAME_TOKENS = 512
"""What a chat template may put around a prompt, at most."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that may be spent, the final test included. None: no limit."""

    calls: int
    tokens: int | None = None


@dataclass(slots=True)
class Ledger:
    """What has been spent: calls, tokens in and out, and seconds that calls ran."""

    calls: int = 0
    tokens: int = 0
    seconds: float = 0.0
    beyond: float = 1.0  # by what factor a call was over its bound, at most

    def add(self, tokens: int, seconds: float, bound: int) -> None:
        """Note a call."""
        self.calls += 1
        self.tokens += tokens
        self.seconds += seconds
        self.beyond = max(self.beyond, tokens / bound)


def most_tokens(text: str, max_tokens: int) -> int:
    """Return a bound of the tokens that one pass over a text takes: no token has less than a byte."""
    return len(text.encode()) + FRAME_TOKENS + max_tokens


def admitted(bounds: Sequence[int], budget: Budget, spent: Ledger, reserved: Budget) -> int:
    """Return how many of the calls, from the first on, surely fit beside what is reserved for later."""
    calls = min(len(bounds), max(0, budget.calls - reserved.calls - spent.calls))
    if budget.tokens is None:
        return calls
    left = budget.tokens - spent.tokens - (reserved.tokens or 0)
    for number, bound in enumerate(bounds[:calls]):
        left -= round(bound * spent.beyond)
        if left < 0:
            return number
    return calls


def check(budget: Budget, dev: int, test: int, start_tokens: int) -> None:
    """Raise InvalidRequest for a budget in which start and result cannot be scored; `start_tokens` bounds both."""
    least = dev + 2 * test
    if budget.calls < least:
        raise InvalidRequest(
            f"a budget of {budget.calls} calls is too small: scoring the start on {dev} examples, and start and result "
            f"on {test} for the test, takes {least}, and the search comes on top; raise --budget or give the task a "
            "smaller split",
            param="budget",
        )
    if budget.tokens is not None and budget.tokens < start_tokens:
        raise InvalidRequest(
            f"a budget of {budget.tokens:,} tokens is too small: scoring the start, and the test at the end, may take "
            f"{start_tokens:,}",
            param="budget_tokens",
        )
