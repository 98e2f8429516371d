"""What the model says to one question of a handler, as the handler reads it."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from quickthaw.answer import Answer
from quickthaw.errors import QuickthawError
from quickthaw.generation import Delta
from quickthaw_platform.worker.generation import Generation, Item, Recorded
from quickthaw_platform.worker.replay import Mark, Recorder, Stopped


class DeltaStream(Answer[Any]):
    """The deltas of all choices in the order in which they come; for one thread.

    A handler reads them one by one. Where it passes them on as they are, the runner has them taken by the engine's
    thread instead (`relay`), which saves a change of threads for each.
    """

    def __init__(
        self,
        generation: Generation,
        number: int,
        prompt: str,
        recorder: Recorder,
        *,
        read: Callable[[str], Any],
        on_delta: Callable[[int, Delta], None],
        on_end: Callable[[], None],
    ) -> None:
        """It is the invocation's `number`-th generation; `prompt` is its digest (see replay.Mark).

        `read` makes a value of an answer's text. `on_delta` hears of each delta, with its index, before the reader has
        it; `on_end`, once, that none will come.
        """
        super().__init__((), read)
        self._generation = generation
        self._number = number
        self._prompt = prompt
        self._recorder = recorder
        self._on_delta = on_delta
        self._on_end = on_end
        self._index = 0
        self._open_choices = len(generation.requests)
        self._replayed: set[int] = set()  # choices whose first delta, with the count of the prompt, was recorded
        self._failure: QuickthawError | Stopped | None = None
        self.over = False
        """Whether there is nothing more to take; what is left to the reader is the end, or the error."""

    def __next__(self) -> Delta:
        """Wait for the next delta; raises the error that ended the generation, or Stopped."""
        if not self.over:
            delta = self._take(self._generation.items.get())
            if delta is not None:
                return delta
        failure, self._failure = self._failure, None
        raise failure or StopIteration

    def __del__(self) -> None:
        """A handler that stops listening frees its place in the batch."""
        self.close()

    def close(self) -> None:
        """Read no more, and end what still runs. Idempotent."""
        if not self.over:
            self._generation.cancel()
            self._end()

    def relay(self, take: Callable[[Delta], None]) -> None:
        """Have each delta that is still to come taken by the thread that brings it; returns when there are no more.

        Raises what `take` raises. An error of the generation waits for who reads next.
        """
        ended = threading.Event()
        raised: list[BaseException] = []

        def listen(item: Item) -> None:
            if ended.is_set():
                return
            try:
                delta = self._take(item)
                if delta is not None:
                    take(delta)
            except BaseException as error:  # noqa: BLE001 - it goes to the thread that waits here, whatever it is
                raised.append(error)
            if self.over or raised:
                ended.set()

        if not self.over:
            self._generation.listen(listen)
            ended.wait()
            self._generation.listen(None)
        if raised:
            raise raised[0]

    def _take(self, item: Item) -> Delta | None:
        """Return the delta that the reader gets; None: there is an error instead."""
        if isinstance(item, Recorded):
            delta = item.delta
            self._replayed.add(delta.choice)
        elif isinstance(item, Delta):
            again = item.choice in self._replayed
            delta = replace(item, prompt_tokens=None, cached_tokens=None) if again else item
            mark = Mark(self._number, self._index, "" if self._index else self._prompt)
            self._recorder.handed_out(mark, delta)
        else:
            self._failure = item
            self.close()
            return None
        self._note(delta)
        self._on_delta(self._index, delta)
        self._index += 1
        self._open_choices -= delta.finish_reason is not None
        if not self._open_choices:
            self._end()
        return delta

    def _end(self) -> None:
        self.over = True
        self._on_end()


def passed_on(values: Iterator[object]) -> DeltaStream | None:
    """Return the model's output that an iterator passes on as it is: itself, or what it is in a `yield from` of."""
    found: object = values
    while inspect.isgenerator(found):
        found = found.gi_yieldfrom
    return found if isinstance(found, DeltaStream) else None
