"""The agent's one writer to Redis: what instances put out goes into the logs, in order, through outages."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from quickthaw.types import InvocationState
from quickthaw_platform.errors import LogGap, Unavailable
from quickthaw_platform.invocations.records import Chunk, Finished, Record
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.worker.journal import KEPT_SECONDS, MAX_KEPT, End, Given, Journal
from quickthaw_platform.worker.log_lines import LogLines

FIRST_PAUSE_SECONDS = 0.05
LAST_PAUSE_SECONDS = 0.5

LOOK_SECONDS = 1.0
"""Between two looks whether Redis is still the process that took the last ends."""

_log = structlog.get_logger()

Job = Callable[[], None]


def _look() -> None:
    """Stands for no job: the writer looks whether there is anything else to do."""


class Writer:
    """A thread that makes changes in Redis in the order they are given, again and again while Redis is out.

    Chunks that come while a round trip is under way leave together in the next.

    A Redis that comes back without its last writes gets those of the last seconds again: outputs, records and ends.
    What has gone back further ends with an error. Where Redis has forgotten even that the invocation was begun, this
    owner is refused and stops, and the controller has it begun anew: it finds an assignment that nobody took up.
    """

    def __init__(
        self,
        store: InvocationStore,
        lines: LogLines,
        *,
        on_stale: Callable[[Journal], None],
    ) -> None:
        """`on_stale` is called from the writer's thread, with what another owns by now."""
        self._store = store
        self._lines = lines
        self._on_stale = on_stale
        self._given: queue.SimpleQueue[tuple[Journal, Given] | Job] = queue.SimpleQueue()  # by all threads
        self._dirty: dict[Journal, None] = {}
        self._ended: deque[Journal] = deque(maxlen=MAX_KEPT)  # whose ends were written in the last seconds
        self._server: str | None = None  # the process that took them
        self._next_look = 0.0
        self._closing_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="agent-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, patience_seconds: float) -> None:
        """Write what is waiting, for as long as the patience lasts, and end the thread."""
        self._closing_at = time.monotonic() + patience_seconds
        self._given.put(_look)
        self._thread.join()

    def submit(self, job: Job) -> None:
        """Have a change made after those submitted before; `job` runs again when it raises Unavailable."""
        self._given.put(job)

    def chunk(self, journal: Journal, chunk: Chunk) -> None:
        """Append an output to the invocation's log."""
        self._given.put((journal, chunk))

    def record(self, journal: Journal, record: Record) -> None:
        """Keep model output that is in no chunk; it goes with the next one, or with what else is written."""
        self._given.put((journal, record))

    def end(self, journal: Journal, end: End) -> None:
        """End the invocation after the outputs given before; the first end counts."""
        self._given.put((journal, end))

    def log(self, function: str, line: Mapping[str, str]) -> None:
        """Keep a line of a function's log."""
        self._lines.add(function, line)
        self._given.put(_look)

    def _run(self) -> None:
        while self._round():
            pass

    def _round(self) -> bool:
        jobs = self._take()
        journals, self._dirty = list(self._dirty), {}
        if self._closing_at is not None and not (jobs or journals or self._lines.waiting):
            return False
        self._persist(lambda: self._append(journals))
        for journal in journals:
            if journal.end is not None:
                self._persist(lambda journal=journal: self._finish(journal))  # type: ignore[misc]
        for job in jobs:
            self._persist(job)
        if self._lines.waiting:
            self._persist(self._lines.flush)
        self._look_back()
        return not self._out_of_time()

    def _take(self) -> list[Job]:
        """Wait until there is something to do, give what came to the journals, and return the jobs."""
        jobs: list[Job] = []
        try:
            came = self._given.get(timeout=self._patience())
            while True:
                if isinstance(came, tuple):
                    journal, given = came
                    journal.take(given)
                    self._dirty[journal] = None
                elif came is not _look:
                    jobs.append(came)
                came = self._given.get_nowait()
        except queue.Empty:
            return jobs

    def _patience(self) -> float | None:
        """Return how many seconds to wait for something to do; None: for ever."""
        if self._dirty or self._lines.waiting or self._closing_at is not None:
            return 0.0
        return LOOK_SECONDS if self._ended else None

    def _look_back(self) -> None:
        """Forget the ends of a while ago; where Redis was started anew since the others, they are written once more."""
        now = time.monotonic()
        while self._ended and (self._ended[0].ended_at or 0.0) < now - KEPT_SECONDS:
            self._ended.popleft()
        if not self._ended or now < self._next_look:
            return
        try:
            server = self._store.server()
        except Unavailable:
            return
        self._next_look = now + LOOK_SECONDS
        before, self._server = self._server, server
        if before not in (None, server):
            self._write_ends_again()

    def _write_ends_again(self) -> None:
        again, self._ended = list(self._ended), deque(maxlen=MAX_KEPT)
        for journal in again:
            journal.ended_at = None
            self._dirty[journal] = None

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
        """Write what waits of all of them, and the ends behind that, with one round trip: where it is not much, as one
        change.
        """
        batches = [(journal, journal.append()) for journal in journals if journal.waits and not journal.stale]
        if not batches:
            return
        answers = self._store.append_each([append for _, append in batches])
        for (journal, append), answer in zip(batches, answers, strict=True):
            if isinstance(answer, LogGap):
                self._mend(journal, answer)
            elif not answer:
                self._revoke(journal)
            else:
                journal.wrote(append)
                if isinstance(answer, Finished):
                    self._note_end(journal)

    def _mend(self, journal: Journal, gap: LogGap) -> None:
        """Redis came back without its last writes: make them again, or, where they are not known any more, end it."""
        known = journal.go_back(gap)
        if known:
            self._dirty[journal] = None
        _log.warning("redis has lost writes", invocation=journal.invocation, last=gap.last_seq, known=known)
        if not known:
            self._revoke(journal)
            error = Unavailable(gap.message).to_json()
            self.submit(lambda: self._fail(journal, error))

    def _revoke(self, journal: Journal) -> None:
        journal.stale = True
        journal.chunks.waiting.clear()
        journal.records.waiting.clear()
        self._on_stale(journal)

    def _fail(self, journal: Journal, error: dict[str, Any]) -> None:
        self._store.finish(journal.invocation, journal.epoch, InvocationState.FAILED, error=error)

    def _finish(self, journal: Journal) -> None:
        """End it in Redis, if it has ended here and not there, and nothing of it waits (then its turn comes again)."""
        end = journal.end
        if end is None or journal.waits or journal.stale or journal.ended_at is not None:
            return
        try:
            self._write_end(journal, end)
        except LogGap as gap:
            self._mend(journal, gap)
        else:
            self._note_end(journal)

    def _note_end(self, journal: Journal) -> None:
        """Its end is in Redis."""
        journal.ended_at = time.monotonic()
        self._ended.append(journal)

    def _write_end(self, journal: Journal, end: End) -> None:
        if end.lost and end.error is not None:
            error = end.error
            self._store.lose(journal.invocation, journal.epoch, error.message, error, with_instance=True)
            return
        self._store.finish(
            journal.invocation,
            journal.epoch,
            end.state,
            result=end.result,
            usage=end.usage,
            error=None if end.error is None else end.error.to_json(),
            start=end.start,
            seq=journal.chunks.number,
        )
