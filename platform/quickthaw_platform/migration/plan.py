"""When a destination takes over. Pure.

Multi-round migration (ServerlessLLM, OSDI'24, section 5.2): the destination computes what is known, then what the
source has said meanwhile, then what it has said during that, each round being shorter than the one before. What is left
at the end is computed after the handover, and is all that a client waits for.
"""

from __future__ import annotations

CLOSE_TOKENS = 2
"""So few tokens behind, another round would not be shorter: they are computed in one step with the next token."""

MAX_ROUNDS = 12
"""A source that is faster than the destination is never caught up with: so many rounds must do."""


def takes_over(tokens_behind: int, rounds: int) -> bool:
    """Return whether it is time, with so many tokens not computed yet, after so many rounds."""
    return tokens_behind <= CLOSE_TOKENS or rounds >= MAX_ROUNDS
