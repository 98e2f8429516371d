"""The quick way to a token's chunk gives the bytes of the slow one, or leaves the event to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthaw.generation import Delta, TokenLogprob
from quickthaw.types import Event, EventType
from quickthaw_platform.gateway import sse
from quickthaw_platform.gateway.openai.answer import Head
from quickthaw_platform.gateway.openai.chat_format import ChatChunks
from quickthaw_platform.gateway.openai.stream import Chunks
from quickthaw_platform.gateway.openai.text_format import TextChunks

HEAD = Head("cmpl-1", 1_700_000_000, 'odd "name"')

FORMATS: list[Callable[[], Chunks]] = [
    lambda: ChatChunks(HEAD, 2, include_usage=False),
    lambda: ChatChunks(HEAD, 2, include_usage=True),
    lambda: TextChunks(HEAD, 2, include_usage=False, first=4),
    lambda: TextChunks(HEAD, 2, include_usage=True),
]
DELTAS = st.builds(
    Delta,
    text=st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(['"\\\n\x00', "\u2028é😀"]),
    tokens=st.just((1,)),
    choice=st.integers(0, 2),
    logprobs=st.just(()) | st.just((TokenLogprob(1, "a", -0.5),)),
    finish_reason=st.sampled_from([None, None, None, "stop"]),
    prompt_tokens=st.sampled_from([None, 3]),
)


def chunk_event(number: int, delta: Delta) -> Event:
    return Event(seq=number + 1, type=EventType.CHUNK, data={"delta": delta.to_json()})


def slow(chunks: Chunks, event: Event) -> bytes:
    return b"".join(map(sse.message, chunks.feed(event)))


@pytest.mark.parametrize("make", FORMATS)
@given(deltas=st.lists(DELTAS, max_size=8))
def test_both_ways_give_the_same_bytes(make: Callable[[], Chunks], deltas: list[Delta]) -> None:
    slowly, quickly = make(), make()
    events = [chunk_event(number, delta) for number, delta in enumerate(deltas)]
    events.append(Event(seq=len(events) + 1, type=EventType.RESULT, data={"value": "plain", "usage": None}))
    for event in events:
        assert (quickly.quick(event) or slow(quickly, event)) == slow(slowly, event)


@pytest.mark.parametrize("make", FORMATS)
def test_a_plain_token_goes_the_quick_way(make: Callable[[], Chunks]) -> None:
    chunks = make()
    slow(chunks, chunk_event(0, Delta("Hé", (1,))))  # a chat's first chunk says the role before it
    assert chunks.quick(chunk_event(1, Delta("llo", (2,)))) is not None


@pytest.mark.parametrize(
    "event",
    [
        chunk_event(0, Delta("", (1,))),  # nothing to show
        chunk_event(0, Delta("a", (1,), finish_reason="stop")),  # two chunks
        chunk_event(0, Delta("a", (1,), logprobs=(TokenLogprob(1, "a", -0.5),))),
        Event(seq=1, type=EventType.CHUNK, data={"value": "text of a handler"}),
        Event(seq=1, type=EventType.STATUS, data={"state": "running"}),
        Event(seq=1, type=EventType.RESULT, data={"value": "a"}),
    ],
)
def test_all_else_is_left_to_the_slow_way(event: Event) -> None:
    for make in FORMATS:
        assert make().quick(event) is None
