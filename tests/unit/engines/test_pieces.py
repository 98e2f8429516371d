from __future__ import annotations

import pytest
from tokenizers import pre_tokenizers

from quickthaw_backends.engines.pieces import byte_letters, piece_bytes


@pytest.mark.parametrize(
    ("piece", "data"),
    [
        ("<0xE2>", b"\xe2"),  # as SentencePiece writes a byte
        ("âĤ", b"\xe2\x82"),  # as byte-level vocabularies write two
        ("Ġâ", b" \xe2"),  # a space and a byte
        ("ï¿½", b"\xef\xbf\xbd"),  # the replacement character itself
        ("日\ufffd", "日\ufffd".encode()),  # neither: text
    ],
)
def test_bytes_of_pieces(piece: str, data: bytes) -> None:
    assert piece_bytes(piece) == data


def test_letters_are_those_of_the_tokenizers_library() -> None:
    text = "".join(map(chr, range(0x800)))  # its bytes are all that UTF-8 has of one or two
    written = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    assert b"".join(piece_bytes(piece) for piece, _ in written) == text.encode()
    assert set(byte_letters()) == set(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(byte_letters().values()) == list(range(256))
