"""Looks at a backend now and then while requests run: how many instances, how long the queue."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from quickthaw.errors import QuickthawError
from quickthaw_platform.comparison.rows import TimelineLine
from quickthaw_platform.serving import ServingBackend
from quickthaw_platform.traffic.priority import served_first

INTERVAL_SECONDS = 0.5


class Watcher:
    """Samples from the start to the end of the `with` block, in a thread; `lines` are what it saw."""

    def __init__(self, backend: ServingBackend, name: str, repeat: int) -> None:
        self.lines: list[TimelineLine] = []
        self.missed = 0
        self._backend, self._name, self._repeat = backend, name, repeat
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-backend", daemon=True)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with served_first():  # it shares the interpreter with the generator, which must not wait for it
            self._look_again_and_again()

    def _look_again_and_again(self) -> None:
        while True:
            at = time.monotonic() - self._began
            try:
                load = self._backend.load()
            except QuickthawError:
                self.missed += 1  # the gateway is busy or away: the requests tell that too
            else:
                self.lines.append(
                    TimelineLine(
                        backend=self._name, repeat=self._repeat, at=at, instances_starting=load.starting or 0,
                        instances_ready=load.ready or 0, in_use=load.in_use or 0, queued=load.queued or 0,
                    )
                )  # fmt: skip
            if self._over.wait(max(0.0, INTERVAL_SECONDS - (time.monotonic() - self._began - at))):
                return
