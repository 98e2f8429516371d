"""What user code prints, as log lines that know their invocation; bounded in length and rate."""

from __future__ import annotations

import codecs
import contextvars
import io
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MAX_LINE_CHARACTERS = 8 << 10
MAX_LINES_PER_SECOND = 1000

StreamName = Literal["stdout", "stderr"]
_DESCRIPTORS: dict[StreamName, int] = {"stdout": 1, "stderr": 2}
Emit = Callable[[str | None, StreamName, str], None]
"""Takes (invocation, stream, line)."""

current_invocation: contextvars.ContextVar[str | None] = contextvars.ContextVar("invocation", default=None)


class LineBudget:
    """Decides which lines are kept: so many in each second, then one line that says how many were not."""

    def __init__(self, per_second: int = MAX_LINES_PER_SECOND) -> None:
        self._per_second = per_second
        self._second = -1
        self._used = 0
        self._suppressed = 0

    def admit(self, line: str, now: float) -> Iterator[str]:
        """Yield the lines to keep at `now` (seconds, monotonic): a report on what was dropped before, then `line`."""
        if int(now) != self._second:
            yield from self.report()
            self._second, self._used = int(now), 0
        if self._used < self._per_second:
            self._used += 1
            yield line
        else:
            self._suppressed += 1

    def report(self) -> Iterator[str]:
        """Yield the line on what was dropped since the last report, if anything was."""
        if self._suppressed:
            yield f"suppressed {self._suppressed:,} lines (more than {self._per_second:,} in a second)"
            self._suppressed = 0


class LineCutter:
    """Cuts text into lines of bounded length."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> Iterator[str]:
        """Take text and yield the lines that are complete, and pieces of one that is too long to wait for."""
        *lines, rest = (self._rest + text).split("\n")
        for line in lines:
            yield from _pieces(line) if line else ("",)
        whole = len(rest) - len(rest) % MAX_LINE_CHARACTERS
        yield from _pieces(rest[:whole])
        self._rest = rest[whole:]

    def flush(self) -> Iterator[str]:
        """Yield what is left without a line end."""
        if self._rest:
            yield self._rest
        self._rest = ""


def _pieces(line: str) -> Iterator[str]:
    for start in range(0, len(line), MAX_LINE_CHARACTERS):
        yield line[start : start + MAX_LINE_CHARACTERS]


class Lines(io.RawIOBase):
    """Takes bytes, as `sys.stdout.buffer` does, and passes them on as lines; each invocation's stay whole."""

    mode = "wb"

    def __init__(self, stream: StreamName, emit: Emit, budget: LineBudget) -> None:
        self.name = f"<{stream}>"
        self._stream: StreamName = stream
        self._emit = emit
        self._budget = budget
        self._cutters: dict[str | None, LineCutter] = {}
        self._decoders: dict[str | None, codecs.IncrementalDecoder] = {}
        self._lock = threading.RLock()

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of this stream, for programs that the function starts and for C code.

        What is written there is logged under the stream's name too, but of no invocation.
        """
        return _DESCRIPTORS[self._stream]

    def write(self, data: ReadableBuffer) -> int:
        """Take bytes of the invocation that the calling code belongs to; they are read as UTF-8."""
        given = bytes(data)
        invocation = current_invocation.get()
        with self._lock:
            decoder = self._decoders.setdefault(invocation, codecs.getincrementaldecoder("utf-8")("replace"))
            for line in self._cutters.setdefault(invocation, LineCutter()).feed(decoder.decode(given)):
                self._pass_on(invocation, line)
        return len(given)

    def end(self, invocation: str) -> None:
        """Pass on the unfinished line of an invocation that ended."""
        with self._lock:
            self._decoders.pop(invocation, None)
            cutter = self._cutters.pop(invocation, None)
            for line in cutter.flush() if cutter else ():
                self._pass_on(invocation, line)
            for line in self._budget.report():
                self._emit(invocation, self._stream, line)

    def _pass_on(self, invocation: str | None, line: str) -> None:
        for kept in self._budget.admit(line, time.monotonic()):
            self._emit(invocation, self._stream, kept)


class Capture(io.TextIOWrapper):
    """Stands in for sys.stdout or sys.stderr: a text file like those of `python -u`, with `buffer` and `fileno`."""

    def __init__(self, stream: StreamName, emit: Emit, budget: LineBudget) -> None:
        self._lines = Lines(stream, emit, budget)
        self._writing = threading.RLock()
        super().__init__(cast("BinaryIO", self._lines), encoding="utf-8", errors="replace", newline="\n")

    def write(self, text: str, /) -> int:
        """Take text of the invocation that the calling code belongs to, at once: nothing waits for a flush."""
        with self._writing:
            written = super().write(text)
            self.flush()
        return written

    def end(self, invocation: str) -> None:
        """Pass on the unfinished line of an invocation that ended."""
        self._lines.end(invocation)
