"""Streams as OpenAI's clients expect them: chunks, an error as a chunk, and [DONE] whatever happens."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Protocol

from quickthaw.types import Event, EventType, Usage
from quickthaw_platform.errors import QuickthawError
from quickthaw_platform.gateway import sse
from quickthaw_platform.gateway.following import Line
from quickthaw_platform.gateway.openai_answer import failure, outcome


class Chunks(Protocol):
    """Builds the chunks of one invocation (see openai_chat_format and openai_text_format)."""

    def feed(self, event: Event) -> Iterator[dict[str, Any]]:
        """Yield the chunks that an event makes."""

    def keep_alive(self) -> dict[str, Any]:
        """Return a chunk without text."""

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the chunk with the usage."""


def stream(
    line: Line, started: list[Event], rest: Iterator[Event | None], chunks: Sequence[Chunks], include_usage: bool
) -> Iterator[bytes]:
    """Yield the chunks of every call of `line`, one after the other.

    `started` and `rest` are the events of the first call: those already taken, and the iterator that goes on.
    """
    usages: list[Usage] = []
    try:
        for index, (call, builder) in enumerate(zip(line.calls, chunks, strict=True)):
            source = _chained(started, rest) if index == 0 else line.events(call.id)
            usages.append((yield from _one(line, source, builder)))
        if include_usage:
            total = Usage(
                prompt_tokens=sum(usage.prompt_tokens for usage in usages),
                completion_tokens=sum(usage.completion_tokens for usage in usages),
                cached_tokens=sum(usage.cached_tokens for usage in usages),
            )
            yield sse.message(chunks[0].usage(total))
    except QuickthawError as error:
        yield sse.message({"error": error.to_json()})
    yield sse.DONE


def _one(line: Line, events: Iterator[Event | None], chunks: Chunks) -> Generator[bytes, None, Usage]:
    """Yield the chunks of one call and return its usage; raises the error that it ended with."""
    usage = Usage()
    spoke = time.monotonic() - line.services.settings.sse_keepalive
    for event in events:
        said = []
        if event is not None:
            if event.type is EventType.ERROR:
                raise failure(event)
            said = [sse.message(chunk) for chunk in chunks.feed(event)]
            usage = outcome(event) if event.ends else usage
        if not said and time.monotonic() - spoke >= line.services.settings.sse_keepalive:
            said = [sse.message(chunks.keep_alive())]
        if said:
            spoke = time.monotonic()
            yield b"".join(said)
    return usage


def _chained(started: list[Event], rest: Iterator[Event | None]) -> Iterator[Event | None]:
    yield from started
    yield from rest
