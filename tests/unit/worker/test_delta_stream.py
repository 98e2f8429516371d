"""A model's deltas: read one by one, or taken by the thread that brings them where a handler passes them on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from quickthaw.errors import HandlerFailed, InstanceLost
from quickthaw.generation import Delta
from quickthaw_platform.worker.delta_stream import DeltaStream, passed_on
from quickthaw_platform.worker.replay import Stopped
from tests.unit.worker.test_generation import Bound, replay_of, said


def ask(b: Bound) -> DeltaStream:
    stream = b.model.complete("ab")
    assert isinstance(stream, DeltaStream)
    return stream


class Relaying:
    """Relays a stream in a thread of its own, which has begun to listen when this is made."""

    def __init__(self, stream: DeltaStream, take: Callable[[Delta], None]) -> None:
        self.error: BaseException | None = None
        self._stream = stream
        listening = threading.Event()
        listen = stream._generation.listen

        def announced(listener: Callable[..., None] | None) -> None:
            listen(listener)
            listening.set()

        stream._generation.listen = announced  # type: ignore[method-assign]  # the moment matters here alone
        self._thread = threading.Thread(target=self._relay, args=(take,))
        self._thread.start()
        assert listening.wait(10)

    def _relay(self, take: Callable[[Delta], None]) -> None:
        try:
            self._stream.relay(take)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def end(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()


def test_a_relayed_stream_is_taken_by_the_thread_that_brings_it_and_counted_as_a_read_one() -> None:
    b = Bound()
    stream = ask(b)
    b.engine.say("i/0.0", said(1, prompt_tokens=2, cached_tokens=1))
    taken: list[tuple[Delta, int]] = []
    relaying = Relaying(stream, lambda delta: taken.append((delta, threading.get_ident())))
    b.engine.say("i/0.0", said(2))
    b.engine.say("i/0.0", said(3, finish_reason="stop"))
    relaying.end()
    assert [delta.tokens for delta, _ in taken] == [(1,), (2,), (3,)]
    assert [thread == threading.get_ident() for _, thread in taken] == [False, True, True]  # the first one waited
    assert (stream.over, list(stream)) == (True, [])
    usage = b.model.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (2, 3, 1)


def test_relayed_output_has_the_marks_that_it_would_have_had() -> None:
    b = Bound()
    stream = ask(b)
    marks: list[str] = []
    relaying = Relaying(stream, lambda delta: marks.append(b.model.recorder.mark_of(delta)))
    b.engine.say("i/0.0", said(1))
    b.engine.say("i/0.0", said(2, finish_reason="stop"))
    relaying.end()
    assert [mark.split(".")[:2] for mark in marks] == [["0", "0"], ["0", "1"]]
    assert marks[0] != "0.0."
    assert marks[1] == "0.1."


def test_what_a_resumed_stream_said_before_is_relayed_first() -> None:
    b = Bound(replay_of(said(1, prompt_tokens=2)))
    taken: list[Delta] = []
    relaying = Relaying(ask(b), taken.append)
    b.engine.say("i/0.0", said(2, prompt_tokens=2, finish_reason="stop"))
    relaying.end()
    assert taken == [said(1, prompt_tokens=2), said(2, finish_reason="stop")]


@pytest.mark.parametrize("error", [InstanceLost("gone"), Stopped()])
def test_an_error_of_the_generation_is_raised_where_the_handler_reads(error: InstanceLost | Stopped) -> None:
    b = Bound()
    stream = ask(b)

    def handler() -> Iterator[Delta | str]:
        try:
            yield from stream
        except type(error):
            yield "caught"

    values = handler()
    b.engine.say("i/0.0", said(1))
    assert next(values) == said(1)
    assert passed_on(values) is stream
    relaying = Relaying(stream, lambda _: None)
    if isinstance(error, Stopped):
        b.model.stop()
    else:
        b.engine.say("i/0.0", error)  # type: ignore[arg-type]  # a sink takes both
    relaying.end()
    assert relaying.error is None
    assert list(values) == ["caught"]


def test_what_goes_wrong_in_taking_ends_the_relay_and_nothing_more_is_taken() -> None:
    b = Bound()
    stream = ask(b)
    taken: list[Delta] = []

    def take(delta: Delta) -> None:
        taken.append(delta)
        raise HandlerFailed("too much")

    relaying = Relaying(stream, take)
    b.engine.say("i/0.0", said(1))
    b.engine.say("i/0.0", said(2))
    relaying.end()
    assert isinstance(relaying.error, HandlerFailed)
    assert taken == [said(1)]


def test_a_handler_passes_on_what_it_returns_or_yields_from_and_nothing_else() -> None:
    b = Bound()
    returned, delegated, changed = (ask(b) for _ in range(3))

    def outer() -> Iterator[Delta | str]:
        yield "before"
        yield from inner()

    def inner() -> Iterator[Delta]:
        yield from delegated

    def own() -> Iterator[str]:
        for delta in changed:
            yield delta.text.upper()

    assert passed_on(returned) is returned
    values, others = outer(), own()
    assert (next(values), passed_on(values)) == ("before", None)
    for number in (1, 2):
        b.engine.say(f"i/{number}.0", said(1))
    assert (next(values), passed_on(values)) == (said(1), delegated)
    assert (next(others), passed_on(others)) == ("T", None)


def test_a_stream_that_nobody_reads_any_more_leaves_the_batch() -> None:
    b = Bound()
    stream = ask(b)
    b.engine.take()
    del stream
    assert b.engine.take() == [("cancel", "i/0.0")]


def test_a_stream_that_was_relayed_is_there_as_a_whole() -> None:
    b = Bound()
    stream = ask(b)
    relaying = Relaying(stream, lambda _: None)
    b.engine.say("i/0.0", said(1))
    b.engine.say("i/0.0", said(2, finish_reason="stop"))
    relaying.end()
    assert (stream.text(), stream.message().finish_reason) == ("tt", "stop")


def test_what_was_said_before_an_interruption_is_part_of_the_whole() -> None:
    b = Bound(replay_of(said(1, prompt_tokens=2)))
    stream = ask(b)
    b.engine.say("i/0.0", said(2, finish_reason="stop"))
    assert stream.text() == "tt"
