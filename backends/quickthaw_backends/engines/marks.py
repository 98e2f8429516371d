"""Special tokens that have a meaning in an answer, although a tokenizer hides them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from quickthaw_backends.engines.detokenizer import Decode

_FIRST_SIGN = 0xD800
"""Surrogates are no characters: decoded text has none."""

GAP = chr(0xDFFF)
"""Stands where there is half a character, whose text comes later: what is before and what is behind do not touch."""


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


@dataclass(frozen=True, slots=True)
class Sign:
    """A character that stands for a special token while stop strings are looked for; no text has it."""

    character: str
    text: str  # of the token
    shown: bool  # whether the token's text is part of the answer's


def signs(marks: Mapping[int, str], shown: Mapping[int, str]) -> dict[int, Sign]:
    """Return a sign for each of the tokens `marks`; of these, answers show those that are in `shown` too."""
    return {
        token: Sign(chr(_FIRST_SIGN + number), text, token in shown)
        for number, (token, text) in enumerate(sorted(marks.items()))
    }


def with_signs(text: str, marks: Sequence[Sign]) -> str:
    """Return a text with the signs of the special tokens that it spells; where several fit, the longest."""
    for sign in sorted(marks, key=lambda sign: len(sign.text), reverse=True):
        text = text.replace(sign.text, sign.character)
    return text
