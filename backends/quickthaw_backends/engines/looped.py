"""The part of `contracts.Engine` that engines with a loop of their own have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from quickthaw.errors import InvalidRequest
from quickthaw_backends.engines.failure import Failures, OnFailed, ignore_failure
from quickthaw_platform.contracts import GenerationRequest, Sink


class Loop(Protocol):
    """Runs requests in a thread. Any thread may call; an unknown id is ignored."""

    on_failed: OnFailed
    """Called from its thread when it can run nothing any more, before its requests are told."""

    def extend(self, request_id: str, tokens: Sequence[int]) -> None:
        """Give a held request the next tokens of its answer."""

    def release(self, request_id: str) -> None:
        """Have a held request go on by itself."""

    def cancel(self, request_id: str) -> None:
        """Take a request out before the next step."""

    def close(self) -> None:
        """Stop the thread; requests that still run get an error. Idempotent."""


_L = TypeVar("_L", bound=Loop)
_T = TypeVar("_T")


class LoopedEngine(ABC, Generic[_L]):
    """Passes on to the loop, once there is one."""

    on_failed: OnFailed = staticmethod(ignore_failure)
    _loop: _L | None = None

    def __init__(self) -> None:
        self._failures = Failures()

    def _run_on(self, loop: _L) -> _L:
        """Have all requests run on this loop from now on."""
        loop.on_failed = self.on_failed
        self._loop = loop
        return loop

    def submit(self, request: GenerationRequest, sink: Sink) -> None:
        """Join the batch at the next step."""
        self._submit(request, sink, None)

    def hold(self, request: GenerationRequest, sink: Sink, on_held: Callable[[int], None]) -> None:
        """Join the batch at the next step, computing only what is known until `release`."""
        self._submit(request, sink, on_held)

    def extend(self, request_id: str, tokens: Sequence[int]) -> None:
        """Tell a held request the next tokens of its answer."""
        if self._loop is not None:
            self._loop.extend(request_id, tokens)

    def release(self, request_id: str) -> None:
        """Have a held request go on by itself."""
        if self._loop is not None:
            self._loop.release(request_id)

    def cancel(self, request_id: str) -> None:
        """Leave the batch at the next step."""
        if self._loop is not None:
            self._loop.cancel(request_id)

    def close(self) -> None:
        """Stop the loop."""
        if self._loop is not None:
            self._loop.close()

    def _counted(self, embed: Callable[[], _T]) -> _T:
        """Embed without the loop. The caller gets the error; where there are too many in a row the engine is broken."""
        try:
            found = embed()
        except InvalidRequest:
            raise
        except Exception as error:
            if failed := self._failures.note(error):
                self.on_failed(failed)
            raise
        self._failures.note(None)
        return found

    @abstractmethod
    def _submit(self, request: GenerationRequest, sink: Sink, on_held: Callable[[int], None] | None) -> None:
        """Check a request and hand it to the loop; with `on_held` it is held."""
