"""What an instance writes to its bare descriptor 1 or 2, past Python's own streams: read by the agent, as lines."""

from __future__ import annotations

import codecs
import contextlib
import os
import time
from collections import deque
from collections.abc import Callable

from quickthaw_platform.worker import frames
from quickthaw_platform.worker.capture import LineBudget, LineCutter, StreamName
from quickthaw_platform.worker.loop import Loop


class RawOutput:
    """The agent's end of one descriptor. For the loop's thread only."""

    def __init__(
        self, loop: Loop, stream: StreamName, on_line: Callable[[StreamName, str], None], last_lines: deque[str]
    ) -> None:
        """`last_lines` keeps what came last, to be told where the process dies."""
        self._loop = loop
        self._stream: StreamName = stream
        self._on_line = on_line
        self._last_lines = last_lines
        self._budget = LineBudget()
        self._cutter = LineCutter()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._ours, self.theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self.theirs, True)
        loop.watch(self._ours, lambda _events: self._read())

    def close(self) -> None:
        """Read what is left and say it."""
        self._loop.unwatch(self._ours)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._ours, frames.READ_BYTES):
                self._lines(data)
        for line in (*self._cutter.flush(), *self._budget.report()):
            self._last_lines.append(line)
            self._on_line(self._stream, line)
        os.close(self._ours)

    def _read(self) -> None:
        try:
            data = os.read(self._ours, frames.READ_BYTES)
        except BlockingIOError:
            return
        self._lines(data)
        if not data:
            self._loop.unwatch(self._ours)

    def _lines(self, data: bytes) -> None:
        for line in self._cutter.feed(self._decoder.decode(data)):
            self._last_lines.append(line)
            for kept in self._budget.admit(line, time.monotonic()):
                self._on_line(self._stream, kept)
