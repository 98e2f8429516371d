"""A checkpoint crosses to another process with its open files, not with paths into this one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import msgpack

from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.worker import checkpoint_frames, frames

ON_DISK = Checkpoint("id", Path("/models/id"), {"name": "m"}, weights=(Path("/models/id/a"),))
IN_MEMORY = replace(
    ON_DISK, weights=(Path("/proc/self/fd/11"), Path("/proc/self/fd/12")), arrival=Path("/proc/self/fd/7")
)


def test_files_on_disk_go_by_their_names() -> None:
    assert checkpoint_frames.descriptors(ON_DISK) == []
    assert checkpoint_frames.from_frame(checkpoint_frames.to_frame(ON_DISK), lambda: -1) == ON_DISK


def test_what_is_in_memory_goes_as_descriptors_and_arrives_under_their_numbers_there() -> None:
    assert checkpoint_frames.descriptors(IN_MEMORY) == [11, 12, 7]
    sent = msgpack.unpackb(msgpack.packb(checkpoint_frames.to_frame(IN_MEMORY)))
    assert "/proc" not in str(sent)
    there = iter((31, 32, 33))
    found = checkpoint_frames.from_frame(sent, lambda: next(there))
    assert found.weights == (Path("/proc/self/fd/31"), Path("/proc/self/fd/32"))
    assert found.arrival == Path("/proc/self/fd/33")
    assert checkpoint_frames.descriptors(found) == [31, 32, 33]


def test_no_checkpoint_has_no_descriptors() -> None:
    assert checkpoint_frames.descriptors(None) == []


def test_more_descriptors_than_one_message_takes_arrive_in_their_order() -> None:
    ours, theirs = frames.pair()
    files = [os.memfd_create(str(number)) for number in range(frames.MAX_FDS + 10)]
    receiver = frames.Receiver(theirs)
    try:
        frames.send(ours, {"t": "many"}, files)
        received: list[frames.Frame] = []
        while not received:
            received = receiver.read() or []
        taken = [receiver.take_fd() for _ in files]
        assert received == [{"t": "many"}]
        assert [os.fstat(fd).st_ino for fd in taken] == [os.fstat(fd).st_ino for fd in files]
    finally:
        ours.close()
        theirs.close()
        for fd in (*files, *taken):
            os.close(fd)
