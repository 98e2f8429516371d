from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw_platform.checkpoints.arrival import MAX_FILES, Arrival, ArrivalWriter
from quickthaw_platform.errors import StartFailed


@pytest.fixture
def writer() -> Iterator[ArrivalWriter]:
    writer = ArrivalWriter()
    yield writer
    writer.close()


def reader(writer: ArrivalWriter) -> Arrival:
    return Arrival(Path(f"/proc/self/fd/{writer.fd}"))


def test_who_waits_goes_on_when_the_mark_has_passed(writer: ArrivalWriter) -> None:
    arrival = reader(writer)
    passed = threading.Event()

    def wait() -> None:
        arrival.wait(1, 10)
        passed.set()

    thread = threading.Thread(target=wait)
    thread.start()
    writer.advance(0, 100)
    writer.advance(1, 9)
    assert not passed.is_set()
    writer.advance(1, 10)
    thread.join(5)
    assert passed.is_set()
    assert (arrival.mark(0), arrival.mark(1), arrival.mark(MAX_FILES - 1)) == (100, 10, 0)
    assert not arrival.complete


def test_complete_lets_everybody_pass(writer: ArrivalWriter) -> None:
    writer.complete()
    reader(writer).wait_for_all([1, 1 << 60])


def test_a_failure_reaches_who_waits_with_its_cause(writer: ArrivalWriter) -> None:
    arrival = reader(writer)
    writer.fail("chunk 3 of weights-0.safetensors is wrong everywhere: é" * 100)
    with pytest.raises(StartFailed, match=r"chunk 3 of weights-0\.safetensors"):
        arrival.wait(0, 1)


def test_the_page_outlives_its_writer() -> None:
    writer = ArrivalWriter()
    arrival = reader(writer)
    writer.advance(0, 7)
    writer.close()
    writer.close()
    assert arrival.mark(0) == 7
