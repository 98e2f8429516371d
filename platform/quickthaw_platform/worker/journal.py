"""What is still to be written of one invocation: in order, and kept for a while where Redis may lose it again."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from quickthaw.types import InvocationState, Usage
from quickthaw_platform.errors import LogGap, QuickthawError
from quickthaw_platform.invocations.records import NO_START, Append, Chunk, ColdStart, Ending, Record

KEPT_SECONDS = 10.0
"""How long what was written is kept: after a power cut, or as a replica, Redis comes back without its last moments, and
gets them again. Longer than the second that a power cut loses (see commands.valkey), the two seconds that a Redis of
one's own may hold a write back, and the start of another."""

MAX_KEPT = 2000
"""Outputs of one invocation kept at most, as many records, and as many ended invocations."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class End:
    """How an invocation ends, by its instance's word or the agent's."""

    state: InvocationState
    result: Any = None
    usage: Usage | None = None
    error: QuickthawError | None = None
    start: ColdStart = NO_START
    lost: bool = False  # its instance died: it goes on elsewhere, if it may

    def told(self) -> tuple[InvocationState, Ending]:
        """Return it as the store takes it."""
        error = None if self.error is None else self.error.to_json()
        return self.state, Ending(self.result, self.usage, error, self.start)


Given = Chunk | Record | End
"""What is to be written of an invocation."""


class Outlet(Generic[T]):
    """Numbered items on their way into Redis: those that wait, and the last that were written."""

    def __init__(self, number: int) -> None:
        self.number = number  # of the first that waits
        self.waiting: deque[T] = deque()
        self._written: deque[tuple[float, T]] = deque(maxlen=MAX_KEPT)  # (monotonic seconds, item)

    def wrote(self, count: int, now: float) -> None:
        """The first `count` that waited are in Redis."""
        for _ in range(count):
            self._written.append((now, self.waiting.popleft()))
        self.number += count
        while self._written and self._written[0][0] < now - KEPT_SECONDS:
            self._written.popleft()

    def can_go_back(self, last: int) -> bool:
        """Whether all that came behind number `last` is still known."""
        return last >= self.number - 1 - len(self._written)

    def go_back(self, last: int) -> None:
        """Redis has nothing behind number `last`: what came there waits again."""
        while self.number > last + 1:
            self.waiting.appendleft(self._written.pop()[1])
            self.number -= 1


class Journal:
    """What is still to be written of one invocation at one epoch. For the writer's thread."""

    def __init__(self, invocation: str, epoch: int, next_seq: int, next_record: int = 1) -> None:
        self.invocation = invocation
        self.epoch = epoch
        self.chunks: Outlet[Chunk] = Outlet(next_seq)
        self.records: Outlet[Record] = Outlet(next_record)  # model output that is in no chunk
        self.end: End | None = None
        self.ended_at: float | None = None  # when its end was written, monotonic seconds
        self.stale = False  # another owner or an end from outside: nothing more is written

    @property
    def waits(self) -> bool:
        """Whether there are outputs or records to be written."""
        return bool(self.chunks.waiting or self.records.waiting)

    def take(self, given: Given) -> None:
        """Have something written; the first end counts."""
        if isinstance(given, Chunk):
            self.chunks.waiting.append(given)
        elif isinstance(given, Record):
            self.records.waiting.append(given)
        elif self.end is None:
            self.end = given

    def append(self) -> Append:
        """Return all that waits."""
        return Append(
            self.invocation,
            self.epoch,
            self.chunks.number,
            tuple(self.chunks.waiting),
            self.records.number,
            tuple(self.records.waiting),
            None if self.end is None or self.end.lost or self.ended_at is not None else self.end.told(),
        )

    def wrote(self, append: Append) -> None:
        """This is in Redis."""
        now = time.monotonic()
        self.chunks.wrote(len(append.chunks), now)
        self.records.wrote(len(append.records), now)

    def go_back(self, gap: LogGap) -> bool:
        """Have all written again that Redis has lost; False: some of it is not known any more.

        False too where the log is longer than what was written: somebody else writes it.
        """
        if gap.last_seq >= self.chunks.number:
            return False
        if not (self.chunks.can_go_back(gap.last_seq) and self.records.can_go_back(gap.last_record)):
            return False
        self.chunks.go_back(gap.last_seq)
        self.records.go_back(gap.last_record)
        return True
