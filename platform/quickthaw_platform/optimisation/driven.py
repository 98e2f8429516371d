"""Turns a library that runs its own loop into an optimiser: the library runs in a thread and waits for each answer."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from quickthaw_platform.optimisation.contract import Question, Reply

Asking = Callable[[Sequence[Question]], list[Reply]]
"""Asks questions from within the library's loop, and waits for the replies."""


class Closed(BaseException):
    """Ends the library's loop where the search is over. No Exception: libraries go on after those."""


class Driven:
    """The `ask` and `tell` of an optimiser whose loop is someone else's. One thread runs at a time."""

    def __init__(self, loop: Callable[[Asking], None]) -> None:
        """`loop` runs in a thread of its own from the first `ask` on; an error that it ends with is raised by `ask`."""
        self._loop = loop
        self._questions: queue.Queue[Sequence[Question]] = queue.Queue()
        self._replies: queue.Queue[list[Reply] | None] = queue.Queue()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="optimiser")
        self._running: Future[None] | None = None
        self._asked: Sequence[Question] | None = None

    def ask(self) -> Sequence[Question]:
        """Return what the loop asks next; nothing when it has ended."""
        if self._running is None:
            self._running = self._executor.submit(self._loop, self._exchange)
            self._running.add_done_callback(lambda _: self._questions.put([]))
        if self._asked is None:
            self._asked = self._questions.get()
        if not self._asked:
            self._running.result()
        return self._asked

    def tell(self, replies: Sequence[Reply]) -> None:
        """Hand the replies to the loop."""
        self._asked = None
        self._replies.put(list(replies))

    def close(self) -> None:
        """End the loop and wait for its thread."""
        self._replies.put(None)
        self._executor.shutdown()

    def _exchange(self, questions: Sequence[Question]) -> list[Reply]:
        self._questions.put(questions)
        replies = self._replies.get()
        if replies is None:
            raise Closed
        return replies
