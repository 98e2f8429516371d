"""The parser of server-sent events, by the HTML standard's own examples and by random cuts."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw.sse import ServerSentEvent, SSEParser

E = ServerSentEvent


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: a\n\n", [E("message", "a")]),
        (b"data:a\n\n", [E("message", "a")]),
        (b"data:  a\n\n", [E("message", " a")]),  # only one space goes
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [E("message", "YHOO\n+2\n10")]),
        (b": comment\n\n", []),
        (b"event: x\n\n", []),  # without data there is no event, and its name does not linger
        (b"event: x\n\ndata: a\n\n", [E("message", "a")]),
        (b"data\n\n", [E("message", "")]),
        (b"id: 7\nevent: chunk\ndata: {}\n\ndata: b\n\n", [E("chunk", "{}", "7"), E("message", "b")]),
        (b"id: a\0b\ndata: x\n\n", [E("message", "x")]),
        (b"id\ndata: x\n\n", [E("message", "x", "")]),
        (b"retry: 10\nunknown: 1\ndata: x\n\n", [E("message", "x")]),
        (b"\xef\xbb\xbfdata: x\n\n", [E("message", "x")]),
        (b"data: x\r\n\r\ndata: y\r\rdata: z\n\n", [E("message", "x"), E("message", "y"), E("message", "z")]),
        (b"data: unfinished", []),
        (b"data: unfinished\n", []),
        ("data: é ✓ 🦊\n\n".encode(), [E("message", "é ✓ 🦊")]),
        (b"data: a\x0bb\x0cc\x1cd\xc2\x85e\n\n", [E("message", "a\x0bb\x0cc\x1cd\x85e")]),  # no line ends of ours
    ],
)
def test_the_standard(body: bytes, expected: list[ServerSentEvent]) -> None:
    assert SSEParser().feed(body) == expected


LINE = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=8)
EVENT = st.builds(E, LINE.filter(bool), st.lists(LINE, min_size=1, max_size=3).map("\n".join), LINE | st.none())


@given(st.lists(EVENT, max_size=5), st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 400), max_size=12))
def test_no_cut_of_the_body_changes_the_events(events: list[E], end: str, cuts: list[int]) -> None:
    lines: list[str] = []
    for event in events:
        lines += [f"event: {event.event}"] + [f"data: {part}" for part in event.data.split("\n")]
        lines += [] if event.id is None else [f"id: {event.id}"]
        lines += [""]
    body = end.join([*lines, ""]).encode()
    edges = sorted({0, len(body), *(min(cut, len(body)) for cut in cuts)})
    parser = SSEParser()
    found = [event for a, b in itertools.pairwise(edges) for event in parser.feed(body[a:b])]
    assert found == events


def test_one_byte_at_a_time() -> None:
    parser = SSEParser()
    body = "\ufeffid: 1\r\ndata: é\r\n\r\ndata: 2\r\n\r\n".encode()
    found = [event for n in range(len(body)) for event in parser.feed(body[n : n + 1])]
    assert found == [E("message", "é", "1"), E("message", "2")]
