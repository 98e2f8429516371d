from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw.generation import Delta, TokenLogprob
from quickthaw.types import Event, EventType
from quickthaw_platform.gateway.openai.answer import Head, collect
from quickthaw_platform.gateway.openai.logprobs import TextOffsets, text_logprobs, token_entry
from quickthaw_platform.gateway.openai.text_format import TextChunks, text_response

LOST = "\N{REPLACEMENT CHARACTER}"
HEAD = Head("cmpl-1", 1, "m")
EURO = (
    TokenLogprob(1, "3", -0.5),
    TokenLogprob(
        2, f" {LOST}", -1.0, ((f" {LOST}", -1.0), (LOST, -2.0)), (2, 9), b" \xe2\x82", (b" \xe2\x82", b"\xe2")
    ),
    TokenLogprob(3, LOST, -1.5, ((LOST, -1.5), (LOST, -2.5)), (3, 8), b"\xac", (b"\xac", b"\xad")),
    TokenLogprob(4, "!", -2.0),
    TokenLogprob(5, "</s>", -3.0, (("</s>", -3.0), ("!", -4.0)), (5, 4), b"", (b"", None)),
)


def test_bytes_are_the_tokens_own_and_join_to_the_text() -> None:
    entries = [token_entry(entry) for entry in EURO]
    assert bytes(byte for entry in entries for byte in entry["bytes"]) == "3 €!".encode()
    assert [entry["token"] for entry in entries] == ["3", r" \xe2\x82", r"\xac", "!", "</s>"]
    assert [(top["token"], top["bytes"]) for top in entries[2]["top_logprobs"]] == [
        (r"\xac", [0xAC]),
        (r"\xad", [0xAD]),
    ]
    assert [(top["token"], top["bytes"]) for top in entries[4]["top_logprobs"]] == [("</s>", []), ("!", [33])]


def test_what_older_logs_hold_is_shown_by_its_text() -> None:
    old = TokenLogprob.from_json({"token": 1, "text": "é", "logprob": -1.0, "top": [["é", -1.0], ["e", -2.0]]})
    assert token_entry(old)["bytes"] == list("é".encode())
    assert text_logprobs([old], [0]) == {
        "tokens": ["é"],
        "token_logprobs": [-1.0],
        "top_logprobs": [{"é": -1.0, "e": -2.0}],
        "text_offset": [0],
    }


def test_parts_of_characters_have_names_of_their_own_and_the_place_of_their_character() -> None:
    delta = Delta("3 €!", (1, 2, 3, 4, 5), logprobs=EURO)
    shown = text_logprobs(EURO, TextOffsets().add(delta))
    assert shown is not None
    assert shown["tokens"] == ["3", r"bytes: \xe2\x82", r"bytes:\xac", "!", "</s>"]
    assert shown["top_logprobs"][2] == {r"bytes:\xac": -1.5, r"bytes:\xad": -2.5}
    assert shown["text_offset"] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("chosen", "name"),
    [
        (7, "A"),  # the likeliest has the name
        (8, "token_id:8"),  # another one of the same text, as of a byte and of a letter
    ],
)
def test_likeliest_tokens_with_one_text_are_told_apart_by_their_ids(chosen: int, name: str) -> None:
    entry = TokenLogprob(chosen, "A", -1.0, (("A", -1.0), ("A", -2.0), ("B", -3.0)), (7, 8, 9))
    shown = text_logprobs([entry], [0])
    assert shown is not None
    assert shown["top_logprobs"] == [{"A": -1.0, "token_id:8": -2.0, "B": -3.0}]
    assert shown["tokens"] == [name]


def log(*deltas: Delta) -> list[Event]:
    said = [Event(seq=n, type=EventType.CHUNK, data={"delta": d.to_json()}) for n, d in enumerate(deltas, 1)]
    return [*said, Event(seq=len(said) + 1, type=EventType.RESULT, data={"value": "", "usage": {}})]


def offsets(chunks: Sequence[dict[str, Any]]) -> list[int]:
    choices = [choice for chunk in chunks for choice in chunk["choices"] if choice["logprobs"]]
    return [offset for choice in choices for offset in choice["logprobs"]["text_offset"]]


@given(st.text("a€ü🙂", max_size=8), st.lists(st.integers(0, 30), max_size=6))
def test_places_are_those_of_the_characters_in_streams_and_whole_answers(text: str, cuts: list[int]) -> None:
    data = text.encode()
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    parts = [data[begin:end] for begin, end in pairwise(borders)]
    entries = [TokenLogprob(1, part.decode(errors="replace"), -1.0, own_bytes=part) for part in parts]
    events = log(*(Delta(tokens=(1,), logprobs=(entry,)) for entry in entries), Delta("", finish_reason="stop"))
    chunks = [chunk for builder in [TextChunks(HEAD, 1, False)] for event in events for chunk in builder.feed(event)]
    expected = [len(data[:begin].decode(errors="ignore")) for begin in borders[: len(parts)]]
    assert offsets(chunks) == expected
    answers, usage = collect(events, 1)
    assert offsets([text_response(HEAD, answers, [usage])]) == expected


def test_text_without_log_probabilities_moves_the_places_on() -> None:
    builder = TextChunks(HEAD, 1, False)
    first, second = log(Delta("née"), Delta("x", (1,), logprobs=(TokenLogprob(1, "x", -1.0),)))[:2]
    assert builder.quick(first) is not None
    assert offsets([*builder.feed(second)]) == [3]
