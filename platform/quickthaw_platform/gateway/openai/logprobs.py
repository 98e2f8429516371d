"""Log-probabilities of tokens as OpenAI's APIs show them: names, bytes, and places in the text. Pure."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from typing import Any

from quickthaw.generation import Delta, TokenLogprob
from quickthaw_platform.gateway.turns import in_turns


def token_entry(entry: TokenLogprob) -> dict[str, Any]:
    """Return a token with the likeliest ones, as chat completions and responses have it."""
    # A number is required here; the first token of an echoed prompt, which has none, gets the likeliest, 0.
    chosen = _token(entry.text, 0.0 if entry.logprob is None else entry.logprob, entry.own_bytes)
    top = [_token(text, value, own) for (text, value), own in zip(entry.top, _top_bytes(entry), strict=True)]
    return {**chosen, "top_logprobs": top}


def text_logprobs(entries: Sequence[TokenLogprob], offsets: Sequence[int]) -> dict[str, Any] | None:
    """Return log-probabilities as legacy completions carry them; None where there are none.

    `offsets` are the places of the tokens in the text. The first token of an echoed prompt has None.
    """
    if not entries:
        return None
    top = [_by_name(entry) for entry in in_turns(entries)]
    return {
        "tokens": [_own_name(entry, likeliest) for entry, likeliest in in_turns(zip(entries, top, strict=True))],
        "token_logprobs": [entry.logprob for entry in entries],
        "top_logprobs": [
            None if entry.logprob is None else {name: value for name, (_, value) in likeliest.items()}
            for entry, likeliest in in_turns(zip(entries, top, strict=True))
        ],
        "text_offset": list(offsets),
    }


class TextOffsets:
    """Says where in a text its tokens begin, in characters. One that begins within a character has that one's place."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._whole = 0  # characters before the one that is incomplete

    def add(self, delta: Delta) -> list[int]:
        """Take a piece of the text; return the places of those of its tokens that have log-probabilities."""
        if not delta.logprobs:
            self.skip(delta.text)
        return [self._place(_bytes(entry.text, entry.own_bytes)) for entry in in_turns(delta.logprobs)]

    def skip(self, text: str) -> None:
        """Take a piece of the text whose tokens nobody asks for."""
        self._whole += len(text)

    def _place(self, data: bytes) -> int:
        begin = self._whole
        self._whole += len(self._decoder.decode(data))
        return begin


def _token(text: str, logprob: float, own: bytes | None) -> dict[str, Any]:
    part = _part_of_character(own)
    return {"token": text if part is None else part, "logprob": logprob, "bytes": list(_bytes(text, own))}


def _bytes(text: str, own: bytes | None) -> bytes:
    """Return what a token adds to the text."""
    return text.encode() if own is None else own


def _top_bytes(entry: TokenLogprob) -> Sequence[bytes | None]:
    return entry.top_bytes or [None] * len(entry.top)


def _part_of_character(own: bytes | None) -> str | None:
    r"""Return how OpenAI writes bytes that are no text by themselves, such as `\xe2\x82`; None: they are text."""
    if own is None:
        return None
    try:
        own.decode()
    except UnicodeDecodeError:
        return own.decode(errors="backslashreplace")
    return None


def _name(text: str, own: bytes | None) -> str:
    part = _part_of_character(own)
    return text if part is None else f"bytes:{part}"


def _by_name(entry: TokenLogprob) -> dict[str, tuple[int | None, float]]:
    """Return the likeliest tokens by name, with id and log-probability.

    Of several with one name only the likeliest has it, and the others are told apart by their ids, as vLLM does.
    """
    found: dict[str, tuple[int | None, float]] = {}
    for name, token, value in _likeliest(entry):
        found[f"token_id:{token}" if name in found else name] = (token, value)
    return found


def _likeliest(entry: TokenLogprob) -> Iterator[tuple[str, int | None, float]]:
    tokens: Sequence[int | None] = entry.top_tokens or [None] * len(entry.top)
    for (text, value), own, token in zip(entry.top, _top_bytes(entry), tokens, strict=True):
        yield _name(text, own), token, value


def _own_name(entry: TokenLogprob, likeliest: dict[str, tuple[int | None, float]]) -> str:
    """Return the name of the chosen token: the same as among the likeliest, where it is one of them."""
    same = (name for name, (token, _) in likeliest.items() if token == entry.token)
    return next(same, _name(entry.text, entry.own_bytes))
