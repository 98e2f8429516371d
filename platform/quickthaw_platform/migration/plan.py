"""When a destination takes over. Pure.

Multi-round migration (ServerlessLLM, OSDI'24, section 5.2): the destination computes what is known, then what the
source has said meanwhile, then what it has said during that, each round being shorter than the one before. From then on
it chooses tokens as the source does, and takes over when the source has said nothing that it does not know.
"""

from __future__ import annotations

CLOSE_TOKENS = 2
"""So few tokens behind, another round would not be shorter: they are computed in one step with the next token."""

PATIENT_ROUNDS = 8
"""After so many rounds being close is enough."""

MAX_ROUNDS = 16
"""A source that is faster than the destination is never caught up with: so many rounds must do."""


def takes_over(tokens_behind: int, rounds: int) -> bool:
    """Return whether it is time, with so many tokens not known to the destination yet, after so many rounds."""
    if rounds >= MAX_ROUNDS:
        return True
    return tokens_behind <= (CLOSE_TOKENS if rounds >= PATIENT_ROUNDS else 0)
