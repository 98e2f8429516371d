"""The bytes of a token, from how a vocabulary writes it."""

from __future__ import annotations

import re
from functools import cache

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def piece_bytes(piece: str) -> bytes:
    """Return the bytes of a vocabulary's entry for a token that is no whole characters.

    It is a byte as SentencePiece writes it (`<0xE2>`), or one letter a byte, as GPT-2 and all after it do.
    """
    single = _BYTE.fullmatch(piece)
    if single:
        return bytes([int(single[1], 16)])
    letters = byte_letters()
    return bytes(letters[letter] for letter in piece) if letters.keys() >= set(piece) else piece.encode()


@cache
def byte_letters() -> dict[str, int]:
    """Return the byte that each letter of a byte-level vocabulary stands for.

    A byte that is a visible letter of Latin-1 is that letter, and the others are letters from U+0100 on, in order
    (Radford et al., Language Models are Unsupervised Multitask Learners, 2019: their `bytes_to_unicode`).
    """
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = (byte for byte in range(256) if byte not in visible)
    return {chr(byte): byte for byte in visible} | {chr(0x100 + place): byte for place, byte in enumerate(hidden)}
