"""How an engine's tokens are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from quickthaw.generation import TokenLogprob


class Texts(Protocol):
    """Shows tokens, one by one and together."""

    def text_of(self, token: int) -> str:
        """Return one token's own text, special tokens included; U+FFFD stands where it is a part of a character."""

    def bytes_of(self, token: int) -> bytes:
        """Return what one token adds to a text, in UTF-8: perhaps a part of a character; of a special token nothing."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, without special ones."""

    def marks_in(self, text: str) -> dict[int, str]:
        """Return the special tokens whose texts stand in a text, each with its own."""


def marks_among(tokens: Iterable[int], texts: Texts) -> dict[int, str]:
    """Return those of the tokens that add nothing to a text though they have a text of their own, which follows."""
    hidden = {token: texts.text_of(token) for token in tokens if not texts.bytes_of(token)}
    return {token: text for token, text in hidden.items() if text}


def shown_logprob(
    texts: Texts, token: int, logprob: float | None, top: Sequence[tuple[int, float]] = ()
) -> TokenLogprob:
    """Return a token's log-probability and those of the likeliest ones, `top`, with their texts and bytes."""
    own = [_own_bytes(texts, other) for other, _ in top]
    return TokenLogprob(
        token,
        texts.text_of(token),
        logprob,
        tuple((texts.text_of(other), value) for other, value in top),
        tuple(other for other, _ in top),
        _own_bytes(texts, token),
        tuple(own) if any(found is not None for found in own) else (),
    )


def beginning(text: str, entries: Sequence[TokenLogprob]) -> tuple[TokenLogprob, ...]:
    """Return the entries of a text's tokens: where decoding drops the space it begins with, the first adds none."""
    spoken = next((place for place, entry in enumerate(entries) if entry.own_bytes != b""), len(entries))
    if text.startswith(" ") or spoken == len(entries) or not entries[spoken].text.startswith(" "):
        return tuple(entries)
    data = entries[spoken].own_bytes or entries[spoken].text.encode()
    return (*entries[:spoken], replace(entries[spoken], own_bytes=data[1:]), *entries[spoken + 1 :])


def _own_bytes(texts: Texts, token: int) -> bytes | None:
    """Return what a token adds to a text, where that is not its own text."""
    found = texts.bytes_of(token)
    return None if found == texts.text_of(token).encode() else found
