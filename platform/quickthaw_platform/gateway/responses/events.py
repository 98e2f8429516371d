"""What a response's clients hear, as a function of its invocation's log. Pure.

So whoever asks again, at whichever gateway, hears the same events under the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from quickthaw.generation import Delta, TokenLogprob, ToolCallDelta
from quickthaw.types import Event, EventType, InvocationState, Usage
from quickthaw_platform.errors import InvalidRequest, InvocationCancelled, QuickthawError, RateLimited
from quickthaw_platform.gateway.chunk_template import plain_text
from quickthaw_platform.gateway.openai.answer import failure
from quickthaw_platform.gateway.openai.mapping import piece
from quickthaw_platform.gateway.responses.body import Draft
from quickthaw_platform.gateway.responses.output import Message, Speaking, Thoughts, Told, ToolCall
from quickthaw_platform.gateway.turns import in_turns

_BEGUN = frozenset({InvocationState.ASSIGNED.value, InvocationState.RUNNING.value})


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of text, as one event tells it."""

    item: Message
    output_index: int
    text: str
    number: int

    def told(self) -> Told:
        """Return the event."""
        event = self.item.delta(self.text, [])
        return {**event, "output_index": self.output_index, "sequence_number": self.number}


class ResponseEvents:
    """Reads the events of one log, in order, and says what they mean for the response."""

    def __init__(self, draft: Draft, invocation: str) -> None:
        self._draft = draft
        self._invocation = invocation
        self._number = 0  # of the next event
        self._status = "queued" if draft.background else "in_progress"
        self._done: list[dict[str, Any]] = []  # items that have been said
        self._open: Speaking | None = None
        self._held: list[TokenLogprob] = []  # of tokens whose text is still to come
        self._cut = False  # whether the answer ended because it may not be longer
        self._pieces = 0
        self._thoughts = 0  # tokens
        self._usage: Usage | None = None
        self._error: dict[str, Any] | None = None

    @property
    def waiting(self) -> bool:
        """Whether nothing was said yet."""
        return self._open is None and not self._done

    def begin(self) -> Iterator[Told]:
        """Yield what comes before anything of the log."""
        yield self._whole("response.created")
        yield self._whole("response.queued" if self._draft.background else "response.in_progress")

    def feed(self, event: Event) -> Iterator[Told]:
        """Yield what an event of the log means."""
        if self._status == "queued" and (event.type is not EventType.STATUS or event.data.get("state") in _BEGUN):
            self._status = "in_progress"
            yield self._whole("response.in_progress")
        delta = piece(event, self._pieces)
        if delta is not None and not delta.choice:
            self._pieces += 1
            yield from self._say(delta)
        if event.ends:
            yield from self._end(event)

    def quick(self, event: Event) -> Piece | None:
        """Return the piece of an event that only adds text to the message that is being said; None: see `feed`."""
        item, plain = self._open, plain_text(event)
        if plain is None or plain[0] or self._held or not isinstance(item, Message):
            return None
        self._pieces += 1
        self._number += 1
        item.append(plain[1])
        return Piece(item, len(self._done), plain[1], self._number - 1)

    def read(self, log: Iterable[Event]) -> dict[str, Any]:
        """Return the response as it stands after these events."""
        for _ in self.begin():
            pass
        for event in in_turns(log):
            if self.quick(event) is None:
                for _ in self.feed(event):
                    pass
        return self.response()

    def response(self) -> dict[str, Any]:
        """Return the response as it stands."""
        output = [*self._done, *([self._open.body("in_progress")] if self._open else [])]
        return self._draft.body(self._status, output, usage=self._usage, thoughts=self._thoughts, error=self._error)

    def broken(self, error: QuickthawError) -> Told:
        """Return the event that says that the stream ends before the response does."""
        return self._numbered({"type": "error", "code": error.code, "message": error.message, "param": error.param})

    def _say(self, delta: Delta) -> Iterator[Told]:
        self._cut = self._cut or delta.finish_reason == "length"
        self._held += delta.logprobs
        if delta.reasoning:
            self._thoughts += len(delta.tokens)
            yield from self._think(delta.reasoning)
        if delta.text or (self._held and isinstance(self._open, Message)):
            yield from self._write(delta.text)
        for call in delta.tool_calls:
            yield from self._call(call)

    def _think(self, text: str) -> Iterator[Told]:
        self._held.clear()
        item = self._open
        if not isinstance(item, Thoughts):
            item = Thoughts(self._next_id(), summary=self._draft.summarises)
            yield from self._turn_to(item)
        yield self._of_item(item.add(text))

    def _write(self, text: str) -> Iterator[Told]:
        item = self._open
        if not isinstance(item, Message):
            item = Message(self._next_id())
            yield from self._turn_to(item)
        yield self._of_item(item.add(text, self._held))
        self._held.clear()

    def _call(self, call: ToolCallDelta) -> Iterator[Told]:
        self._held.clear()
        item = self._open
        if not isinstance(item, ToolCall) or item.index != call.index:
            item = ToolCall(self._next_id(), call)
            yield from self._turn_to(item)
        if call.arguments:
            yield self._of_item(item.add(call.arguments))

    def _turn_to(self, item: Speaking) -> Iterator[Told]:
        yield from self._close("completed")
        self._open = item
        yield self._of_item({"type": "response.output_item.added", "item": item.body("in_progress")})
        yield from map(self._of_item, item.begin())

    def _close(self, status: str) -> Iterator[Told]:
        if self._open is None:
            return
        yield from map(self._of_item, self._open.end())
        item = self._open.body(status)
        yield self._of_item({"type": "response.output_item.done", "item": item})
        self._done.append(item)
        self._open = None

    def _end(self, event: Event) -> Iterator[Told]:
        if event.type is EventType.ERROR:
            yield from self._close("incomplete")
            yield self._failed(failure(event))
            return
        if self.waiting:
            yield from self._turn_to(Message(self._next_id()))
        self._status = "incomplete" if self._cut else "completed"
        yield from self._close(self._status)
        self._usage = Usage.model_validate(event.data.get("usage") or {})
        yield self._whole(f"response.{self._status}")

    def _failed(self, error: QuickthawError) -> Told:
        self._status = "cancelled" if isinstance(error, InvocationCancelled) else "failed"
        if self._status == "failed":
            self._error = {"code": _code(error), "message": error.message}
        return self._whole("response.failed")

    def _next_id(self) -> str:
        return f"{self._invocation}_{len(self._done) + (self._open is not None)}"

    def _whole(self, kind: str) -> Told:
        return self._numbered({"type": kind, "response": self.response()})

    def _of_item(self, told: Told) -> Told:
        return self._numbered({**told, "output_index": len(self._done)})

    def _numbered(self, told: Told) -> Told:
        self._number += 1
        return {**told, "sequence_number": self._number - 1}


def _code(error: QuickthawError) -> str:
    """Return which of OpenAI's codes is nearest."""
    if isinstance(error, RateLimited):
        return "rate_limit_exceeded"
    return "invalid_prompt" if isinstance(error, InvalidRequest) else "server_error"
