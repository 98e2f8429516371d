"""What an instance says that it has used counts only as far as it can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quickthaw.errors import HandlerFailed
from quickthaw.types import Limits, Usage
from quickthaw_platform.invocations.records import NO_START, Chunk
from quickthaw_platform.metering.tracing import Tracer
from quickthaw_platform.metering.usage.device_meter import Tokens
from quickthaw_platform.worker.flight import Flight, Work
from quickthaw_platform.worker.frames import ProtocolError
from quickthaw_platform.worker.journal import End, Journal
from quickthaw_platform.worker.reported_usage import Heard, plausible, usage_of

HEARD = Tokens(read=10, generated=20, cached=5)
CONTEXT_TOKENS = 128


def counted(claimed: Usage, *, left_out_bytes: int = 0, unheard: int = 100, tells: bool = True) -> Usage:
    return plausible(claimed, HEARD, left_out_bytes, lambda: unheard, tells=tells)


def test_what_an_honest_instance_says_stays_as_it_is() -> None:
    claimed = Usage(
        prompt_tokens=10, completion_tokens=20, cached_tokens=5, original_tokens=40, compression="compressed"
    )
    assert counted(claimed, left_out_bytes=100) is claimed


def test_an_answer_counts_for_what_came_of_it() -> None:
    assert counted(Usage(prompt_tokens=10, completion_tokens=1_000_000)).completion_tokens == 20


def test_what_is_not_told_of_is_bounded_by_what_can_have_been() -> None:
    """Embedded texts, and what a handler keeps to itself that is not resumable."""
    claimed = Usage(prompt_tokens=1_000_000, completion_tokens=1_000_000, cached_tokens=1_000_000)
    found = counted(claimed, tells=False)
    assert (found.prompt_tokens, found.completion_tokens, found.cached_tokens) == (110, 120, 110)
    assert counted(Usage(prompt_tokens=70)).prompt_tokens == 70


def test_compression_saves_no_more_tokens_than_bytes_were_left_out() -> None:
    found = counted(Usage(prompt_tokens=10, original_tokens=1_000_000, compression="compressed"), left_out_bytes=50)
    assert (found.original_tokens, found.saved_tokens) == (60, 50)


@pytest.mark.parametrize(
    "delta",
    [
        {"tokens": 7},
        {"tokens": [1], "prompt_tokens": CONTEXT_TOKENS + 1},
        {"tokens": [1], "prompt_tokens": -1},
        {"tokens": [1], "prompt_tokens": 1.5},
        {"tokens": [1], "prompt_tokens": "9"},
        {"tokens": [1], "prompt_tokens": 5, "cached_tokens": 6},
        {"text": "hi"},
    ],
    ids=["no list", "beyond the context", "below 0", "no whole number", "a text", "more kept than read", "no tokens"],
)
def test_model_output_that_cannot_be_is_refused(delta: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        Heard(CONTEXT_TOKENS).take(delta)


def test_model_output_that_can_be_is_counted() -> None:
    delta = {"tokens": [1, 2], "prompt_tokens": CONTEXT_TOKENS, "cached_tokens": 3}
    heard = Heard(CONTEXT_TOKENS)
    assert heard.tokens == Tokens()
    more: list[dict[str, Any]] = [delta, {"tokens": []}, {"tokens": [3]}]
    for each in more:
        heard.take(each)
    assert heard.tokens == Tokens(CONTEXT_TOKENS, 3, 3)


@pytest.mark.parametrize(
    "reported",
    [
        None,
        "much",
        {"prompt_tokens": -1},
        {"completion_tokens": "x"},
        {"prompt_tokens": 9, "original_tokens": 1},
        {"cached_tokens": 1},
    ],
    ids=["nothing", "a text", "below 0", "no number", "less than was left", "more kept than read"],
)
def test_what_is_no_usage_is_refused(reported: object) -> None:
    with pytest.raises(ProtocolError):
        usage_of(reported)


class Timer:
    def cancel(self) -> None:
        """There is nothing to cancel."""


class Loop:
    def later(self, _seconds: float, _call: Callable[[], None]) -> Timer:
        return Timer()

    def soon(self, call: Callable[[], None]) -> None:
        call()


class Writer:
    def __init__(self) -> None:
        self.ends: list[End] = []

    def chunk(self, _journal: Journal, _chunk: Chunk) -> None:
        """Nothing of it is looked at."""

    def end(self, _journal: Journal, end: End) -> None:
        self.ends.append(end)


def flight_to(writer: Writer, **more: Any) -> Flight:
    return Flight(
        Loop(),  # type: ignore[arg-type]  # all of the loop and the writer that it uses
        writer,  # type: ignore[arg-type]
        Work("a", 1, "x1", "f", 3, {"input": {"prompt": "hi"}, **more}, Limits(), 0.0, 1.0),
        most_prompt_tokens=CONTEXT_TOKENS,
        most_bytes=10_000,
        tracer=Tracer(),
        on_timeout=lambda _flight, _error: None,
    )


def test_the_agent_records_and_meters_what_can_be_and_not_what_is_said() -> None:
    writer = Writer()
    flight = flight_to(writer)
    delta = {"text": "hi", "tokens": [1, 2], "prompt_tokens": 4}
    flight.chunk({"delta": delta, "mark": "0.0.", "at": 1.0})
    with pytest.raises(ProtocolError):
        flight.chunk({"delta": {**delta, "prompt_tokens": 10**9}, "mark": "1.0.", "at": 1.0})
    claimed = {"prompt_tokens": 4, "completion_tokens": 10**9, "cached_tokens": 4}
    flight.done({"usage": claimed, "value": "hi"}, NO_START)
    (end,) = writer.ends
    assert end.usage == Usage(prompt_tokens=4, completion_tokens=2, cached_tokens=4)
    assert flight.tokens == Tokens(4, 2, 4)


@pytest.mark.parametrize(
    "frame",
    [
        {"value": b"no JSON", "mark": ""},
        {"value": {"deep": b"no JSON"}, "mark": ""},
        {"value": "hi", "mark": {"no": "mark"}},
        {"value": "hi", "mark": "0.0.'"},
        {"value": "hi", "mark": "0"},
        {"value": "x" * 10_000, "mark": ""},
    ],
    ids=["bytes", "bytes within", "a map", "a quote", "half a mark", "too much"],
)
def test_what_cannot_be_recorded_never_reaches_the_writer_of_all(frame: dict[str, Any]) -> None:
    """It writes the outputs of all the node's invocations together: one that it cannot write would stop the others'."""
    with pytest.raises(ProtocolError):
        flight_to(Writer()).chunk({**frame, "at": 1.0})


def test_what_an_instance_says_of_one_invocation_has_an_end() -> None:
    flight = flight_to(Writer())
    for _ in range(4):
        flight.chunk({"value": "x" * 2000, "mark": "", "at": 1.0})
    with pytest.raises(ProtocolError):
        flight.done({"usage": {}, "value": "x" * 2000}, NO_START)
    with pytest.raises(ProtocolError):
        flight.failed(HandlerFailed("y" * 2000), NO_START)


def test_what_the_gateway_left_out_of_a_prompt_may_be_saved_and_no_more() -> None:
    writer = Writer()
    shortened = {"reason": "compressed", "originals": [[["prompt"], "o" * 30]]}
    flight = flight_to(writer, compression=shortened)
    flight.chunk({"delta": {"text": "hi", "tokens": [1], "prompt_tokens": 4}, "mark": "0.0.", "at": 1.0})
    claimed = {"prompt_tokens": 4, "completion_tokens": 1, "original_tokens": 10**6, "compression": "compressed"}
    flight.done({"usage": claimed, "value": "hi"}, NO_START)
    assert writer.ends[0].usage is not None
    assert writer.ends[0].usage.saved_tokens == 30
