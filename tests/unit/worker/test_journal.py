"""The writer: order, coalescing and patience, against a store that fails on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest

from quickthaw.errors import InstanceLost, QuickthawError
from quickthaw.types import InvocationState
from quickthaw_platform.errors import LogGap, Unavailable
from quickthaw_platform.invocations.records import Append, Chunk, Finished, Lost, Record
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.worker import journal as journal_module
from quickthaw_platform.worker import writer as writer_module
from quickthaw_platform.worker.journal import End, Journal, Outlet
from quickthaw_platform.worker.log_lines import LogLines
from quickthaw_platform.worker.writer import Writer

FIRST_SEQ = 4


class Store:
    """What the writer uses of an InvocationStore, in memory."""

    def __init__(self) -> None:
        self.log: list[tuple[int, Any]] = []
        self.records: list[str] = []
        self.trips: list[int] = []  # how many appends each round trip carried
        self.process = 1
        self.looks = threading.Semaphore(0)
        self.ended_with_outputs = 0
        self.outages = 0
        self.owner = True
        self.ends: list[tuple[str, int | None]] = []
        self.ended = threading.Event()
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def append_each(self, appends: Sequence[Append]) -> list[bool | Finished | LogGap]:
        self.entered.set()
        self.gate.wait()
        if self.outages:
            self.outages -= 1
            raise Unavailable("away")
        self.trips.append(len(appends))
        return [self._append(append) for append in appends]

    def _append(self, append: Append) -> bool | Finished | LogGap:
        if not self.owner:
            return False
        if append.seq > self.last_seq + 1 or append.record > len(self.records) + 1:
            return self._gap()
        self.log += [
            (append.seq + number, json.loads(chunk.body)["value"]) for number, chunk in enumerate(append.chunks)
        ]
        self.records += [mark for mark, _ in append.records]
        if append.ends is None:
            return True
        self.ended_with_outputs += 1
        return self.finish(append.invocation, append.epoch, append.ends[0], seq=self.last_seq + 1)

    def finish(self, _id: str, _epoch: int, state: InvocationState, *, seq: int | None = None, **_: Any) -> Finished:
        if seq is not None and seq != self.last_seq + 1:
            raise self._gap()
        self.ends.append((state.value, seq))
        self.ended.set()
        return Finished(True)

    @property
    def last_seq(self) -> int:
        return self.log[-1][0] if self.log else FIRST_SEQ - 1

    def crash(self, chunks: int, records: int = 0) -> None:
        """Come back without the last writes. What tells of that changes last: the writer may look at any time."""
        self.log = self.log[: len(self.log) - chunks]
        self.records = self.records[: len(self.records) - records]
        self.process += 1

    def _gap(self) -> LogGap:
        return LogGap("events are missing", last_seq=self.last_seq, last_record=len(self.records))

    def server(self) -> str:
        self.looks.release()
        return str(self.process)

    def lose(self, _id: str, _epoch: int, _reason: str, _error: QuickthawError, *, with_instance: bool) -> Lost:
        self.ends.append(("lost with its instance" if with_instance else "lost", None))
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
        self.writer = Writer(
            cast("InvocationStore", self.store),
            cast("LogLines", NoLines()),
            on_stale=self.stale.append,
        )
        self.journal = Journal("i", 1, FIRST_SEQ)

    def run(self) -> None:
        self.writer.start()
        assert self.store.ended.wait(5)
        self.writer.close(1)

    def write(self, *values: str) -> None:
        """Have outputs written and wait for it; the writer runs."""
        for value in values:
            self.writer.chunk(self.journal, Chunk.of({"value": value}))
        self.settle()

    def settle(self) -> None:
        """Wait until all that was given before has been written."""
        for _ in range(3):  # what has to be written again is found in one round and written in the next
            done = threading.Event()
            self.writer.submit(done.set)
            assert done.wait(5)

    def look(self) -> None:
        """Wait until the writer has looked for the server, and has done what followed from that."""
        for _ in range(3):
            assert self.store.looks.acquire(timeout=5)


DONE = End(InvocationState.SUCCEEDED)


def test_chunks_and_the_end_take_the_next_seqs_in_order() -> None:
    h = Harness()
    for value in "abc":
        h.writer.chunk(h.journal, Chunk.of({"value": value}))
    h.writer.end(h.journal, DONE)
    h.run()
    assert h.store.log == [(4, "a"), (5, "b"), (6, "c")]
    assert h.store.ends == [("succeeded", 7)]


def test_an_outage_delays_and_repeats_nothing() -> None:
    h = Harness()
    h.store.outages = 3
    h.writer.chunk(h.journal, Chunk.of({"value": "a"}))
    h.writer.end(h.journal, DONE)
    h.run()
    assert h.store.log == [(4, "a")]
    assert h.store.ends == [("succeeded", 5)]


def test_what_comes_during_a_round_trip_leaves_together() -> None:
    h = Harness()
    h.store.gate.clear()
    h.writer.start()
    h.writer.chunk(h.journal, Chunk.of({"value": "a"}))
    assert h.store.entered.wait(5)
    for value in "bcd":
        h.writer.chunk(h.journal, Chunk.of({"value": value}))
    h.store.gate.set()
    h.writer.end(h.journal, DONE)
    assert h.store.ended.wait(5)
    h.writer.close(1)
    assert [value for _, value in h.store.log] == ["a", "b", "c", "d"]


def test_many_invocations_share_a_round_trip() -> None:
    h = Harness()
    for journal in (h.journal, Journal("j", 1, 4), Journal("k", 1, 4)):
        h.writer.chunk(journal, Chunk.of({"value": "a"}))
    h.writer.end(h.journal, DONE)
    h.run()
    assert h.store.trips == [3]


def test_the_end_leaves_with_the_outputs_before_it() -> None:
    h = Harness()
    h.writer.chunk(h.journal, Chunk.of({"value": "a"}))
    h.writer.end(h.journal, DONE)
    h.run()
    assert (h.store.trips, h.store.ended_with_outputs) == ([1], 1)
    assert h.store.ends == [("succeeded", 5)]


def test_only_the_first_end_counts() -> None:
    h = Harness()
    h.writer.end(h.journal, End(InvocationState.TIMED_OUT))
    h.writer.end(h.journal, DONE)
    h.run()
    assert h.store.ends == [("timed_out", 4)]


def test_a_stale_owner_writes_nothing_more_and_is_told() -> None:
    h = Harness()
    h.store.owner = False
    h.writer.chunk(h.journal, Chunk.of({"value": "a"}))
    h.writer.start()
    h.writer.submit(h.store.ended.set)
    assert h.store.ended.wait(5)
    h.writer.end(h.journal, DONE)
    h.writer.close(1)
    assert h.stale == [h.journal]
    assert h.store.ends == []


@pytest.mark.parametrize("lost", [1, 3])  # the last of what was written; all of it
def test_a_redis_that_lost_its_last_writes_gets_them_again(lost: int) -> None:
    h = Harness()
    h.writer.start()
    h.write("a", "b", "c")
    h.store.crash(lost)
    h.write("d")
    h.writer.end(h.journal, DONE)
    assert h.store.ended.wait(5)
    h.writer.close(1)
    assert h.store.log == [(4, "a"), (5, "b"), (6, "c"), (7, "d")]
    assert h.store.ends == [("succeeded", 8)]
    assert h.stale == []


def test_records_that_redis_lost_are_written_again_in_their_place() -> None:
    h = Harness()
    h.writer.start()
    for mark in ("0.0.x", "0.1."):
        h.writer.record(h.journal, Record.of(mark, {}))
    h.write("a")
    h.store.crash(0, records=1)
    h.writer.record(h.journal, Record.of("0.2.", {}))
    h.write("b")
    h.writer.close(1)
    assert h.store.records == ["0.0.x", "0.1.", "0.2."]
    assert h.store.log == [(4, "a"), (5, "b")]


def test_the_end_finds_out_that_outputs_were_lost() -> None:
    h = Harness()
    h.writer.start()
    h.write("a", "b")
    h.store.crash(2)
    h.writer.end(h.journal, DONE)
    assert h.store.ended.wait(5)
    h.writer.close(1)
    assert h.store.log == [(4, "a"), (5, "b")]
    assert h.store.ends == [("succeeded", 6)]


@pytest.mark.parametrize(("restarted", "written"), [(True, 2), (False, 1)])
def test_the_ends_of_the_last_seconds_are_written_again_to_a_redis_that_was_started_anew(
    monkeypatch: pytest.MonkeyPatch, *, restarted: bool, written: int
) -> None:
    monkeypatch.setattr(writer_module, "LOOK_SECONDS", 0.01)
    h = Harness()
    h.writer.start()
    h.write("a")
    h.writer.end(h.journal, DONE)
    h.look()
    if restarted:
        h.store.crash(1)
    h.look()
    h.writer.close(1)
    assert h.store.log == [(4, "a")]
    assert h.store.ends == [("succeeded", 5)] * written


def test_what_was_written_long_ago_is_not_kept_and_its_loss_ends_the_invocation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journal_module, "KEPT_SECONDS", -1.0)
    h = Harness()
    h.writer.start()
    h.write("a", "b")
    h.store.crash(1)
    h.write("c")
    assert h.store.ended.wait(5)
    h.writer.close(1)
    assert h.stale == [h.journal]
    assert h.store.ends == [("failed", None)]
    assert h.store.log == [(4, "a")]


def test_of_much_output_only_the_last_part_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_KEPT", 2)
    outlet: Outlet[str] = Outlet(1)
    outlet.waiting.extend("abc")
    outlet.wrote(3, 0.0)
    assert outlet.can_go_back(1)
    assert not outlet.can_go_back(0)
    outlet.go_back(1)
    assert (outlet.number, list(outlet.waiting)) == (2, ["b", "c"])


def test_a_log_that_somebody_else_has_gone_on_with_is_left_alone() -> None:
    journal = Journal("i", 1, FIRST_SEQ)
    assert not journal.go_back(LogGap("ahead", last_seq=FIRST_SEQ))


def test_what_a_dead_instance_put_out_is_written_before_it_is_given_up() -> None:
    h = Harness()
    h.writer.chunk(h.journal, Chunk.of({"value": "a"}))
    h.writer.end(h.journal, End(InvocationState.FAILED, error=InstanceLost("gone"), lost=True))
    h.run()
    assert h.store.log == [(4, "a")]
    assert h.store.ends == [("lost with its instance", None)]
