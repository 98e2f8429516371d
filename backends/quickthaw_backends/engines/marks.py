"""Special tokens that have a meaning in an answer, shown although a tokenizer hides them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from quickthaw_backends.engines.detokenizer import Decode


def showing(decode: Decode, shown: Mapping[int, str]) -> Decode:
    """Return `decode` with these tokens' texts in their places."""
    if not shown:
        return decode

    def decode_with_marks(tokens: Sequence[int]) -> str:
        parts = []
        for mark, run in groupby(tokens, shown.get):
            found = list(run)
            parts.append(decode(found) if mark is None else mark * len(found))
        return "".join(parts)

    return decode_with_marks
