"""An engine that lets the platform hear which prompts it is given."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from quickthaw_platform.contracts import Engine, GenerationRequest, Sink
from quickthaw_platform.worker.prefix_learner import sample_of

SAMPLE_SECONDS = 1.0
"""At most one prompt in so long is heard: enough to learn from, and nothing that a busy instance notices."""


class Sampler:
    """Passes a prompt's first tokens on, now and then. Any thread may call."""

    def __init__(self, send: Callable[[bytes], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._send = send
        self._clock = clock
        self._lock = threading.Lock()
        self._next = 0.0

    def hear(self, tokens: Sequence[int]) -> None:
        """Take a prompt; most are ignored."""
        with self._lock:
            now = self._clock()
            if now < self._next:
                return
            self._next = now + SAMPLE_SECONDS
        self._send(sample_of(tokens))


class _Overheard:
    """Is its engine in all but `submit`, which tells of each new prompt first."""

    def __init__(self, engine: Engine, hear: Callable[[Sequence[int]], None]) -> None:
        self._engine = engine
        self._hear = hear

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def submit(self, request: GenerationRequest, sink: Sink) -> None:
        """Submit a request as ever."""
        if not request.generated and not request.choice:
            self._hear(request.tokens)
        self._engine.submit(request, sink)


def overheard(engine: Engine, hear: Callable[[Sequence[int]], None]) -> Engine:
    """Return the engine such that `hear` gets the tokens of each prompt, once however many answers it wants."""
    return cast("Engine", _Overheard(engine, hear))
