"""One question of a handler to the model: replayed as far as it is recorded, then live."""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from quickthaw.errors import QuickthawError
from quickthaw.generation import Delta
from quickthaw_platform.contracts import Engine, GenerationRequest
from quickthaw_platform.worker.replay import Stopped


@dataclass(frozen=True, slots=True)
class Recorded:
    """A delta that the handler got before, in an earlier life."""

    delta: Delta


Item = Recorded | Delta | QuickthawError | Stopped


class Generation:
    """Implements `replay.Listener` for the requests, one a choice, of one question.

    What comes is put into `items`, or goes to who listens.
    """

    def __init__(
        self, engine: Engine, requests: Sequence[GenerationRequest], *, on_caught_up: Callable[[], None]
    ) -> None:
        """`on_caught_up` is called, from the engine's thread, when all that is recorded has been computed while the
        record is open.
        """
        self.requests = {request.choice: request for request in requests}
        self.items: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._listening = threading.RLock()  # guards `_listener`, and keeps the order of what it hears
        self._listener: Callable[[Item], None] | None = None
        self._engine = engine
        self._on_caught_up = on_caught_up
        self._said: defaultdict[int, list[int]] = defaultdict(list)  # recorded tokens by choice
        self._open = set(self.requests)  # choices whose end is not recorded
        self._behind: set[int] = set()  # of those, the ones whose record has not been computed

    def begin(self, recorded: Sequence[Delta], *, hold: bool) -> Generation:
        """Put the recorded deltas out, and have the engine go on from there; `hold`: not before `go_live`."""
        for delta in recorded:
            self._take(delta)
        self._behind = set(self._open)
        for choice in sorted(self._open):
            request = self._rest_of(choice, begun=any(delta.choice == choice for delta in recorded))
            if hold:
                self._engine.hold(request, self._put, lambda known, choice=choice: self._held(choice, known))  # type: ignore[misc]
            else:
                self._engine.submit(request, self._put)
        return self

    def replayed(self, delta: Delta) -> None:
        """Take the next recorded delta."""
        self._take(delta)
        request = self.requests[delta.choice]
        if delta.finish_reason is not None:
            self._engine.cancel(request.id)
        elif delta.tokens:
            self._behind.add(delta.choice)
            self._engine.extend(request.id, delta.tokens)

    def go_live(self) -> None:
        """Have the engine go on by itself."""
        for choice in sorted(self._open):
            self._engine.release(self.requests[choice].id)

    def listen(self, listener: Callable[[Item], None] | None) -> None:
        """Have `listener` called with what is in `items`, and then with what comes, by the thread that brings it.

        None: what comes is put into `items` again.
        """
        with self._listening:
            while listener is not None and not self.items.empty():
                listener(self.items.get())
            self._listener = listener

    def cancel(self) -> None:
        """Take what still runs out of the batch."""
        for request in self.requests.values():
            self._engine.cancel(request.id)

    def stop(self) -> None:
        """End it from outside: who reads `items` finds Stopped."""
        self.cancel()
        self._put(Stopped())

    @property
    def is_behind(self) -> bool:
        """Whether recorded tokens are still to be computed."""
        return bool(self._behind)

    def _put(self, item: Item) -> None:
        with self._listening:
            if self._listener is None:
                self.items.put(item)
            else:
                self._listener(item)

    def _take(self, delta: Delta) -> None:
        self._said[delta.choice] += delta.tokens
        if delta.finish_reason is not None:
            self._open.discard(delta.choice)
            self._behind.discard(delta.choice)
        self._put(Recorded(delta))

    def _rest_of(self, choice: int, *, begun: bool) -> GenerationRequest:
        """Return the request for what is not recorded; the prompt is not said a second time."""
        request, said = self.requests[choice], self._said[choice]
        sampling = request.sampling.model_copy(update={"echo": False}) if begun else request.sampling
        return replace(request, tokens=(*request.tokens, *said), generated=len(said), sampling=sampling)

    def _held(self, choice: int, known: int) -> None:
        if known == len(self.requests[choice].tokens) + len(self._said[choice]):
            self._behind.discard(choice)
            if not self._behind:
                self._on_caught_up()
