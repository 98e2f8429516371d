from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from quickthaw_backends.engines.detokenizer import Detokenizer


def decode_bytes(tokens: Sequence[int]) -> str:
    return bytes(tokens).decode("utf-8", errors="replace")


def decode_pieces(tokens: Sequence[int]) -> str:
    """As SentencePiece does: each token is a word with a space before it, and the text's first space is dropped."""
    return "".join(f" w{token}" for token in tokens)[1:]


@given(st.text())
def test_any_text_comes_whole_and_no_piece_has_half_a_character(text: str) -> None:
    detokenizer = Detokenizer(decode_bytes)
    pieces = [detokenizer.push(byte) for byte in text.encode()]
    pieces.append(detokenizer.flush())
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces) or "\ufffd" in text


@given(st.binary(max_size=60))
def test_bytes_that_are_no_text_join_to_what_they_decode_to(data: bytes) -> None:
    detokenizer = Detokenizer(decode_bytes)
    assert "".join([*map(detokenizer.push, data), detokenizer.flush()]) == decode_bytes(list(data))


@given(st.text(min_size=1), st.integers(0, 30))
def test_a_prompt_that_ends_inside_a_character_does_not_swallow_it(text: str, cut: int) -> None:
    data = list(text.encode())
    cut = min(cut, len(data) - 1)
    detokenizer = Detokenizer(decode_bytes, data[:cut])
    said = "".join([*map(detokenizer.push, data[cut:]), detokenizer.flush()])
    assert text.endswith(said)
    assert len(said) >= len(bytes(data[cut:]).decode("utf-8", errors="ignore"))


def test_a_character_comes_with_its_last_byte() -> None:
    detokenizer = Detokenizer(decode_bytes)
    assert [detokenizer.push(byte) for byte in "a€".encode()] == ["a", "", "", "€"]


def test_the_space_before_the_first_word_is_kept_after_a_prompt() -> None:
    detokenizer = Detokenizer(decode_pieces, [1, 2, 3])
    assert detokenizer.push(4) == " w4"
    assert Detokenizer(decode_pieces).push(4) == "w4"


def test_an_incomplete_character_at_the_end_is_shown_once() -> None:
    detokenizer = Detokenizer(decode_bytes)
    assert [detokenizer.push(byte) for byte in "a€".encode()[:-1]] == ["a", "", ""]
    assert detokenizer.flush() == "\ufffd"
    assert detokenizer.flush() == ""


def test_noise_is_not_held_for_ever() -> None:
    seen: list[int] = []

    def decode(tokens: Sequence[int]) -> str:
        seen.append(len(tokens))
        return decode_bytes(tokens)

    detokenizer = Detokenizer(decode)
    for _ in range(1000):
        detokenizer.push(0xFF)
    assert max(seen) < 200
