"""What an invocation's earlier owners recorded, for a handler that is run again: model output, and what it put out.

An invocation is durable by being run again. Its model answers what it answered before, read from the record, and goes
on live where the record ends; what the handler put out before is compared and dropped. While another instance still
runs the invocation (live migration) the record is *open*: it grows, and nothing goes on live before it is closed.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from quickthaw.errors import HandlerDiverged
from quickthaw.generation import Delta, Sampling
from quickthaw_platform.contracts import Reading


class Stopped(BaseException):
    """The invocation was cancelled or timed out; no Exception, so that a handler's `except Exception` lets it pass."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Which model output this is: the `index`-th delta of the `generation`-th time that the handler asked the model.

    `prompt` is the digest of what was asked; only the first delta carries it.
    """

    generation: int
    index: int
    prompt: str = ""

    def __str__(self) -> str:
        return f"{self.generation}.{self.index}.{self.prompt}"

    @classmethod
    def parse(cls, text: str) -> Mark:
        """Read the string form."""
        generation, index, prompt = text.split(".")
        return cls(int(generation), int(index), prompt)


def prompt_digest(tokens: Sequence[int], sampling: Sampling, reading: Reading | None = None) -> str:
    """Return what tells two questions to the model apart: its prompt, and all that decides what it may answer."""
    asked = f"{list(tokens)} {sampling.model_dump_json()}"
    if reading is not None:
        asked += json.dumps(asdict(reading), sort_keys=True)
    return hashlib.blake2b(asked.encode(), digest_size=8).hexdigest()


class Listener(Protocol):
    """A generation that is replayed. Called under the replay's lock: nothing here blocks."""

    def replayed(self, delta: Delta) -> None:
        """Take the next recorded delta."""

    def go_live(self) -> None:
        """The record is closed: go on by itself."""


class Replay:
    """Thread-safe: the handler's threads read it, the link's thread adds to it."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.is_open = is_open
        self._changed = threading.Condition()
        self._stopped = False
        self._outputs: list[Mapping[str, Any]] = []
        self._deltas: defaultdict[int, list[Delta]] = defaultdict(list)
        self._prompts: dict[int, str] = {}
        self._listeners: dict[int, Listener] = {}

    def extend(self, outputs: Iterable[Mapping[str, Any]], records: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Add what was put out and recorded since: chunk bodies, and (mark, delta) of model output."""
        with self._changed:
            self._outputs.extend(outputs)
            for mark, delta in records:
                self._add(Mark.parse(mark), Delta.from_json(dict(delta)))
            self._changed.notify_all()

    def close(self) -> None:
        """There is nothing more: what is replayed goes on live. Idempotent."""
        with self._changed:
            self.is_open = False
            for listener in self._listeners.values():
                listener.go_live()
            self._changed.notify_all()

    def stop(self) -> None:
        """End what waits here, with Stopped."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def join(self, generation: int, prompt: str, begin: Callable[[Sequence[Delta], bool], Listener]) -> None:
        """Begin a generation with what is recorded of it; the listener gets what is recorded later.

        `begin` takes the recorded deltas and whether the record is open. HandlerDiverged when the model was asked
        something else before.
        """
        with self._changed:
            if self._prompts.get(generation, prompt) != prompt:
                raise _diverged("the handler asked the model something else than before")
            self._listeners[generation] = begin(self._deltas[generation], self.is_open)

    def said(self, number: int, body: Mapping[str, Any]) -> bool:
        """Whether the handler's output `number` (from 0) was put out before; waits while that may still come.

        HandlerDiverged when another one was.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._outputs) > number or not self.is_open or self._stopped)
            if self._stopped:
                raise Stopped
            if number >= len(self._outputs):
                return False
            if self._outputs[number] != json.loads(json.dumps(body)):
                raise _diverged(f"the handler's output {number + 1} was not what it had been")
            return True

    def is_over(self, number: int) -> bool:
        """Whether the handler's output `number` and all that follow are new: nothing is there to compare them with."""
        with self._changed:
            return not self.is_open and number >= len(self._outputs)

    def end(self, outputs: int) -> None:
        """Let the handler end after so many outputs, once the record is closed; HandlerDiverged where that has more."""
        with self._changed:
            self._changed.wait_for(lambda: not self.is_open or self._stopped)
            if self._stopped:
                raise Stopped
            if len(self._outputs) > outputs:
                raise _diverged(f"the handler ended after {outputs} outputs instead of {len(self._outputs)}")

    def _add(self, mark: Mark, delta: Delta) -> None:
        deltas = self._deltas[mark.generation]
        if mark.index != len(deltas):
            return  # it came twice
        if mark.prompt:
            self._prompts[mark.generation] = mark.prompt
        deltas.append(delta)
        listener = self._listeners.get(mark.generation)
        if listener is not None:
            listener.replayed(delta)


def _diverged(what: str) -> HandlerDiverged:
    return HandlerDiverged(
        f"run again after an interruption, {what}; make it depend on nothing but its input (no clock, no random "
        "numbers), or deploy it with resumable=False"
    )


class Recorder:
    """Marks model output for the record: with the chunk where the handler puts it out as it is, else beside it."""

    def __init__(self, record: Callable[[str, Delta], None] | None) -> None:
        """`record(mark, delta)` keeps model output that is in no chunk; None: nothing is recorded."""
        self._record = record
        self._lock = threading.Lock()
        self._pending: tuple[Mark, Delta] | None = None

    def handed_out(self, mark: Mark, delta: Delta) -> None:
        """The handler is about to get this. What it got before and has not put out is recorded now."""
        if self._record is not None:
            with self._lock:
                self._flush()
                self._pending = (mark, delta)

    def mark_of(self, item: object) -> str:
        """Return the mark for the chunk that carries `item`, '' where it is no model output just handed out."""
        with self._lock:
            if self._pending is not None and self._pending[1] is item:
                mark, self._pending = str(self._pending[0]), None
                return mark
            self._flush()
            return ""

    def end(self) -> None:
        """The handler has ended: what it got last and has not put out is recorded too."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if self._pending is not None and self._record is not None:
            (mark, delta), self._pending = self._pending, None
            self._record(str(mark), delta)
