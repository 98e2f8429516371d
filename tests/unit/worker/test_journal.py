"""The writer: order, coalescing and patience, against a store that fails on demand."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

from quickthaw.errors import InstanceLost, QuickthawError
from quickthaw.types import InvocationState
from quickthaw_platform.errors import LogGap, Unavailable
from quickthaw_platform.invocations.records import Append, Assignment, Chunk, Finished, Lost
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.worker.journal import End, Journal, Writer
from quickthaw_platform.worker.log_lines import LogLines


class Store:
    """What the writer uses of an InvocationStore, in memory."""

    def __init__(self) -> None:
        self.log: list[tuple[int, Any]] = []
        self.trips: list[int] = []  # how many appends each round trip carried
        self.outages = 0
        self.owner = True
        self.gap = False
        self.ends: list[tuple[str, int | None]] = []
        self.following: Assignment | None = None
        self.ended = threading.Event()
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def append_each(self, appends: Sequence[Append]) -> list[bool | LogGap]:
        self.entered.set()
        self.gate.wait()
        if self.outages:
            self.outages -= 1
            raise Unavailable("away")
        self.trips.append(len(appends))
        return [self._append(append) for append in appends]

    def _append(self, append: Append) -> bool | LogGap:
        if self.gap:
            return LogGap("events are missing")
        if self.owner:
            self.log += [(append.seq + number, chunk.data["value"]) for number, chunk in enumerate(append.chunks)]
        return self.owner

    def finish(self, _id: str, _epoch: int, state: InvocationState, *, seq: int | None = None, **_: Any) -> Finished:
        self.ends.append((state.value, seq))
        self.ended.set()
        return Finished(True, self.following)

    def lose(self, _id: str, _epoch: int, _reason: str, _error: QuickthawError) -> Lost:
        self.ends.append(("lost", None))
        self.ended.set()
        return Lost.REQUEUED


class NoLines:
    """Log lines of which there are none."""

    waiting = False

    def flush(self) -> None:
        """Write nothing."""


class Harness:
    def __init__(self) -> None:
        self.store = Store()
        self.stale: list[Journal] = []
        self.following: list[Assignment] = []
        self.writer = Writer(
            cast("InvocationStore", self.store),
            cast("LogLines", NoLines()),
            on_stale=self.stale.append,
            on_next=self.following.append,
        )
        self.journal = Journal("i", 1, 4)

    def run(self) -> None:
        self.writer.start()
        assert self.store.ended.wait(5)
        self.writer.close(1)


DONE = End(InvocationState.SUCCEEDED)


def test_chunks_and_the_end_take_the_next_seqs_in_order() -> None:
    h = Harness()
    for value in "abc":
        h.writer.chunk(h.journal, Chunk({"value": value}))
    h.writer.end(h.journal, DONE)
    h.run()
    assert h.store.log == [(4, "a"), (5, "b"), (6, "c")]
    assert h.store.ends == [("succeeded", 7)]


def test_an_outage_delays_and_repeats_nothing() -> None:
    h = Harness()
    h.store.outages = 3
    h.writer.chunk(h.journal, Chunk({"value": "a"}))
    h.writer.end(h.journal, DONE)
    h.run()
    assert h.store.log == [(4, "a")]
    assert h.store.ends == [("succeeded", 5)]


def test_what_comes_during_a_round_trip_leaves_together() -> None:
    h = Harness()
    h.store.gate.clear()
    h.writer.start()
    h.writer.chunk(h.journal, Chunk({"value": "a"}))
    assert h.store.entered.wait(5)
    for value in "bcd":
        h.writer.chunk(h.journal, Chunk({"value": value}))
    h.store.gate.set()
    h.writer.end(h.journal, DONE)
    assert h.store.ended.wait(5)
    h.writer.close(1)
    assert [value for _, value in h.store.log] == ["a", "b", "c", "d"]


def test_many_invocations_share_a_round_trip() -> None:
    h = Harness()
    for journal in (h.journal, Journal("j", 1, 4), Journal("k", 1, 4)):
        h.writer.chunk(journal, Chunk({"value": "a"}))
    h.writer.end(h.journal, DONE)
    h.run()
    assert h.store.trips == [3]


def test_only_the_first_end_counts() -> None:
    h = Harness()
    h.writer.end(h.journal, End(InvocationState.TIMED_OUT))
    h.writer.end(h.journal, DONE)
    h.run()
    assert h.store.ends == [("timed_out", 4)]


def test_a_stale_owner_writes_nothing_more_and_is_told() -> None:
    h = Harness()
    h.store.owner = False
    h.writer.chunk(h.journal, Chunk({"value": "a"}))
    h.writer.start()
    h.writer.submit(h.store.ended.set)
    assert h.store.ended.wait(5)
    h.writer.end(h.journal, DONE)
    h.writer.close(1)
    assert h.stale == [h.journal]
    assert h.store.ends == []


def test_a_log_that_lost_events_is_ended_rather_than_left_hanging() -> None:
    h = Harness()
    h.store.gap = True
    h.writer.chunk(h.journal, Chunk({"value": "a"}))
    h.run()
    assert h.stale == [h.journal]
    assert h.store.ends == [("failed", None)]


def test_what_a_dead_instance_put_out_is_written_before_it_is_given_up() -> None:
    h = Harness()
    h.writer.chunk(h.journal, Chunk({"value": "a"}))
    h.writer.end(h.journal, End(InvocationState.FAILED, error=InstanceLost("gone"), lost=True))
    h.run()
    assert h.store.log == [(4, "a")]
    assert h.store.ends == [("lost", None)]


def test_the_next_in_the_queue_is_passed_on() -> None:
    h = Harness()
    h.store.following = Assignment("j", 1, "x", "n", 3)
    h.writer.end(h.journal, DONE)
    h.run()
    assert h.following == [h.store.following]
