"""The agent's one writer to Redis: what instances put out goes into the logs, in order, through outages."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from quickthaw.types import InvocationState, Usage
from quickthaw_platform.errors import LogGap, QuickthawError, Unavailable
from quickthaw_platform.invocations.records import NO_START, Append, Assignment, Chunk, ColdStart
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.worker.log_lines import LogLines

FIRST_PAUSE_SECONDS = 0.05
LAST_PAUSE_SECONDS = 0.5

_log = structlog.get_logger()

Job = Callable[[], None]


@dataclass(frozen=True, slots=True)
class End:
    """How an invocation ends, by its instance's word or the agent's."""

    state: InvocationState
    result: Any = None
    usage: Usage | None = None
    error: QuickthawError | None = None
    start: ColdStart = NO_START
    lost: bool = False  # its instance died: it goes on elsewhere, if it may


class Journal:
    """What is still to be written of one invocation at one epoch. Filled by the loop, emptied by the writer."""

    def __init__(self, invocation: str, epoch: int, next_seq: int, next_record: int = 1) -> None:
        self.invocation = invocation
        self.epoch = epoch
        self.next_seq = next_seq
        self.next_record = next_record
        self.waiting: deque[Chunk] = deque()
        self.records: deque[tuple[str, Mapping[str, Any]]] = deque()  # model output that is in no chunk
        self.end: End | None = None
        self.stale = False  # another owner or an end from outside: nothing more is written


class Writer:
    """A thread that makes changes in Redis in the order they are given, again and again while Redis is out.

    Chunks that come while a round trip is under way leave together in the next.
    """

    def __init__(
        self,
        store: InvocationStore,
        lines: LogLines,
        *,
        on_stale: Callable[[Journal], None],
        on_next: Callable[[Assignment], None],
    ) -> None:
        """Both are called from the writer's thread: `on_next` with what got the slot of an ended invocation."""
        self._store = store
        self._lines = lines
        self._on_stale = on_stale
        self._on_next = on_next
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._dirty: dict[Journal, None] = {}
        self._closing_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="agent-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, patience_seconds: float) -> None:
        """Write what is waiting, for as long as the patience lasts, and end the thread."""
        with self._changed:
            self._closing_at = time.monotonic() + patience_seconds
            self._changed.notify()
        self._thread.join()

    def submit(self, job: Job) -> None:
        """Have a change made after those submitted before; `job` runs again when it raises Unavailable."""
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()

    def chunk(self, journal: Journal, chunk: Chunk) -> None:
        """Append an output to the invocation's log."""
        with self._changed:
            journal.waiting.append(chunk)
            self._mark(journal)

    def record(self, journal: Journal, mark: str, delta: Mapping[str, Any]) -> None:
        """Keep model output that is in no chunk; it goes with the next one, or with what else is written."""
        with self._changed:
            journal.records.append((mark, delta))
            self._mark(journal)

    def end(self, journal: Journal, end: End) -> None:
        """End the invocation after the outputs given before; the first end counts."""
        with self._changed:
            if journal.end is None:
                journal.end = end
                self._mark(journal)

    def log(self, function: str, line: Mapping[str, str]) -> None:
        """Keep a line of a function's log."""
        with self._changed:
            self._lines.add(function, line)
            self._changed.notify()

    def _mark(self, journal: Journal) -> None:
        self._dirty[journal] = None
        self._changed.notify()

    def _run(self) -> None:
        while self._round():
            pass

    def _round(self) -> bool:
        with self._changed:
            while not (self._jobs or self._dirty or self._lines.waiting or self._closing_at is not None):
                self._changed.wait()
            jobs, self._jobs = self._jobs, deque()
            dirty, self._dirty = self._dirty, {}
            if not (jobs or dirty or self._lines.waiting):
                return False
        journals = list(dirty)
        self._persist(lambda: self._append(journals))
        for journal in journals:
            self._persist(lambda journal=journal: self._finish(journal))  # type: ignore[misc]
        for job in jobs:
            self._persist(job)
        self._persist(self._lines.flush)
        return not self._out_of_time()

    def _persist(self, change: Job) -> None:
        """Make a change, trying again until Redis takes it or the time to close has come."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                change()
                return
            except Unavailable as error:
                if self._out_of_time():
                    _log.error("gave up writing at shutdown", error=error.message)
                    return
                time.sleep(pause)
                pause = min(pause * 2, LAST_PAUSE_SECONDS)
            except Exception:  # noqa: BLE001 - one change that cannot be made must not end all others
                _log.exception("a change could not be written")
                return

    def _out_of_time(self) -> bool:
        return self._closing_at is not None and time.monotonic() > self._closing_at

    def _append(self, journals: Sequence[Journal]) -> None:
        """Write what waits of all of them with one round trip."""
        batches = [
            (j, Append(j.invocation, j.epoch, j.next_seq, tuple(j.waiting), j.next_record, tuple(j.records)))
            for j in journals
            if (j.waiting or j.records) and not j.stale
        ]
        if not batches:
            return
        answers = self._store.append_each([append for _, append in batches])
        for (journal, written), answer in zip(batches, answers, strict=True):
            if answer is True:
                journal.next_seq += len(written.chunks)
                journal.next_record += len(written.records)
                for _ in written.chunks:
                    journal.waiting.popleft()
                for _ in written.records:
                    journal.records.popleft()
                continue
            self._revoke(journal)
            if isinstance(answer, LogGap):
                self._end_broken(journal, answer)

    def _revoke(self, journal: Journal) -> None:
        journal.stale = True
        journal.waiting.clear()
        journal.records.clear()
        self._on_stale(journal)

    def _end_broken(self, journal: Journal, gap: LogGap) -> None:
        """Redis came back without its last writes. What a reader has seen cannot be mended, only ended."""
        error = Unavailable(gap.message).to_json()
        self.submit(lambda: self._fail(journal, error))

    def _fail(self, journal: Journal, error: dict[str, Any]) -> None:
        self._store.finish(journal.invocation, journal.epoch, InvocationState.FAILED, error=error)

    def _finish(self, journal: Journal) -> None:
        """End it in Redis, if it has ended here and nothing of it waits (then its turn comes again)."""
        end = journal.end
        if end is None or journal.waiting or journal.records or journal.stale:
            return
        try:
            self._write_end(journal, end)
        except LogGap as gap:
            self._end_broken(journal, gap)
        journal.stale = True

    def _write_end(self, journal: Journal, end: End) -> None:
        if end.lost and end.error is not None:
            self._store.lose(journal.invocation, journal.epoch, end.error.message, end.error)
            return
        finished = self._store.finish(
            journal.invocation,
            journal.epoch,
            end.state,
            result=end.result,
            usage=end.usage,
            error=None if end.error is None else end.error.to_json(),
            start=end.start,
            seq=journal.next_seq,
        )
        if finished.next is not None:
            self._on_next(finished.next)
