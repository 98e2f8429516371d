"""Streams as OpenAI's clients expect them: chunks, an error as a chunk, and [DONE] whatever happens."""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Protocol

from quickthaw.types import Event, EventType, Usage
from quickthaw_platform.errors import QuickthawError
from quickthaw_platform.gateway import sse
from quickthaw_platform.gateway.following import Line
from quickthaw_platform.gateway.openai.answer import failure, outcome
from quickthaw_platform.gateway.thaw import waiting_for
from quickthaw_platform.gateway.turns import in_turns


class Chunks(Protocol):
    """Builds the chunks of one invocation (see chat_format and text_format)."""

    def quick(self, event: Event) -> bytes | None:
        """Return the encoded chunk of an event that adds plain text to what was begun; None: see `feed`."""

    def feed(self, event: Event) -> Iterator[dict[str, Any]]:
        """Yield the chunks that an event makes."""

    def keep_alive(self) -> dict[str, Any]:
        """Return a chunk without text."""

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the chunk with the usage."""


def stream(
    line: Line, started: list[Event], rest: Iterator[Sequence[Event]], chunks: Sequence[Chunks], include_usage: bool
) -> Iterator[bytes]:
    """Yield the chunks of every call of `line`, one after the other.

    `started` and `rest` are the events of the first call: those already taken, and the iterator that goes on.
    """
    usages: list[Usage] = []
    try:
        for index, (call, builder) in enumerate(zip(line.calls, chunks, strict=True)):
            source = itertools.chain([started], rest) if index == 0 else line.events(call.id)
            usages.append((yield from _one(line, call.id, source, builder)))
        if include_usage:
            yield sse.message(chunks[0].usage(added(usages)))
    except QuickthawError as error:
        yield sse.message({"error": error.to_json()})
    yield sse.DONE


def added(usages: Sequence[Usage]) -> Usage:
    """Add up what the prompts of one request used; the first of them that was to be compressed says how that went."""
    prompt = sum(usage.prompt_tokens for usage in usages)
    compression = next((usage.compression for usage in usages if usage.compression is not None), None)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        original_tokens=None if compression is None else prompt + sum(usage.saved_tokens for usage in usages),
        compression=compression,
    )


def _one(
    line: Line, invocation: str, source: Iterator[Sequence[Event]], chunks: Chunks
) -> Generator[bytes, None, Usage]:
    """Yield the chunks of one call, those of events that came together as one piece, and return its usage.

    Until the first one has content, what fills a silence says what the call waits for. Raises the error that it ended
    with.
    """
    waits = True
    keepalive = line.services.settings.sse_keepalive
    spoke = time.monotonic() - keepalive
    for events in source:
        error = events[-1] if events and events[-1].type is EventType.ERROR else None
        outputs = in_turns(event for event in events if event is not error)
        said = b"".join([chunks.quick(event) or _fed(event, chunks) for event in outputs])
        if not said and error is None and time.monotonic() - spoke >= keepalive:
            said = sse.message({**chunks.keep_alive(), **(waiting_for(line, invocation) if waits else {})})
        elif said:
            waits = False
        if said:
            spoke = time.monotonic()
            yield said
        if error is not None:
            raise failure(error)
        if events and events[-1].ends:
            return outcome(events[-1])
    return Usage()


def _fed(event: Event, chunks: Chunks) -> bytes:
    return b"".join(map(sse.message, chunks.feed(event)))
