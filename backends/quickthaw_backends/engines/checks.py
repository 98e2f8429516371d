"""What every engine refuses before it computes."""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw.errors import ContextLengthExceeded, InvalidRequest


def check_tokens(tokens: Sequence[int], vocabulary: int) -> None:
    """Raise InvalidRequest for a token id that a vocabulary of this size does not have."""
    if tokens and (min(tokens) < 0 or max(tokens) >= vocabulary):
        raise InvalidRequest(f"token ids must be from 0 to {vocabulary - 1:,}", param="prompt")


def check_text_to_embed(tokens: Sequence[int], context_tokens: int) -> None:
    """Raise InvalidRequest for a text without tokens, ContextLengthExceeded for one that is too long."""
    if not tokens:
        raise InvalidRequest("a text to embed has no tokens", param="input")
    if len(tokens) > context_tokens:
        raise ContextLengthExceeded(
            f"the text has {len(tokens):,} tokens; this model takes at most {context_tokens:,}", param="input"
        )
