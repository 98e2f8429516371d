"""What a compression comes to: a text, and why it is what it is."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Reason(enum.StrEnum):
    """Why a text is what it is. Only of the first two is it shorter than the original; else it is the original."""

    COMPRESSED = "compressed"  # as short as was asked for
    PARTLY = "partly"  # all that may be deleted is, and it is still longer than was asked for
    SHORT = "short"  # the original is already as short as was asked for, an empty one too
    PROTECTED = "protected"  # nothing in it may be deleted
    NO_GAIN = "no_gain"  # deleting words would not have saved a token
    NO_SCORES = "no_scores"  # the scorer returned a number that is not finite
    EMPTY = "empty"  # refused by the verifier: nothing was left
    NOT_A_SUBSEQUENCE = "not_a_subsequence"  # refused: it holds what the original does not
    LOST_SPAN = "lost_span"  # refused: a protected span was lost or has become another
    INVALID_JSON = "invalid_json"  # refused: JSON of the original no longer parses to the same keys and types
    UNBALANCED = "unbalanced"  # refused: brackets do not close as they did


@dataclass(frozen=True, slots=True)
class Compressed:
    """A text after compression.

    `tokens` is what `count_tokens` says of `text`, and `original_tokens` of the original. `kept` are the parts of the
    original that `text` is made of, as (start, end) in characters, in order: their texts joined are `text`.
    """

    text: str
    reason: Reason
    original_tokens: int
    tokens: int
    kept: tuple[tuple[int, int], ...]

    @property
    def ratio(self) -> float:
        """Tokens that stayed, of those there were; 1 for a text of none."""
        return self.tokens / self.original_tokens if self.original_tokens else 1.0
