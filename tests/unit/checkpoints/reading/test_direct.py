"""Reads and writes past the page cache: into the memory of blocks, which begins on a page as O_DIRECT wants it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from quickthaw_platform.checkpoints.manifest import CHUNK_BYTES
from quickthaw_platform.checkpoints.reading.direct import ALIGNMENT_BYTES, DirectFile, address_of, write_file
from quickthaw_platform.checkpoints.reading.disk import DiskSource
from quickthaw_platform.checkpoints.reading.memory import MemoryPool
from quickthaw_platform.checkpoints.reading.residency import resident_bytes
from quickthaw_platform.errors import CheckpointBroken, LoadCancelled
from tests.unit.checkpoints.reading.files import content, make_cold

SIZES = [0, 1, 511, 512, 513, 4095, 4096, 4097, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1]
ROOM_BYTES = 2 * CHUNK_BYTES


@pytest.fixture
def memory() -> Iterator[memoryview]:
    pool = MemoryPool()
    yield pool.take(ROOM_BYTES).view
    pool.close()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(content(ROOM_BYTES))
    make_cold([path])
    return path


def go_on() -> bool:
    return False


def count_direct_moves(monkeypatch: pytest.MonkeyPatch, fails: OSError | None = None) -> list[int]:
    """Note the size of each read that meets an O_DIRECT descriptor; with `fails`, refuse it."""
    moved: list[int] = []
    real = os.preadv

    def preadv(handle: int, buffers: list[memoryview], begin: int) -> int:
        if is_direct(handle):
            moved.append(len(buffers[0]))
            if fails is not None:
                raise fails
        return real(handle, buffers, begin)

    monkeypatch.setattr(os, "preadv", preadv)
    return moved


def is_direct(handle: int) -> bool:
    flags = next(line for line in Path(f"/proc/self/fdinfo/{handle}").read_text().splitlines() if "flags" in line)
    return bool(int(flags.split()[1], 8) & os.O_DIRECT)


@pytest.mark.parametrize("size", SIZES)
def test_a_cold_file_arrives_in_aligned_memory_whatever_its_size(
    tmp_path: Path, memory: memoryview, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(content(size))
    make_cold([path])
    moved = count_direct_moves(monkeypatch)
    memory[:] = b"\xff" * ROOM_BYTES
    source = DiskSource([path])
    source.read(0, 0, memory[:size], go_on)
    source.close()
    assert memory[:size] == content(size)
    assert memory[size:] == b"\xff" * (ROOM_BYTES - size)
    assert sum(moved) == size - size % ALIGNMENT_BYTES


@pytest.mark.parametrize("at", [0, 1], ids=["aligned memory", "unaligned memory"])
@pytest.mark.parametrize("size", [1, 513, 4096, 8193])
@pytest.mark.parametrize("begin", [0, 1, 511, 512, 4095, 4096, 20_000 - 8193])
def test_any_piece_of_a_file_can_be_read(tmp_path: Path, memory: memoryview, begin: int, size: int, at: int) -> None:
    path = tmp_path / "weights"
    path.write_bytes(content(20_000))
    make_cold([path])
    source = DiskSource([path])
    source.read(0, begin, memory[at : at + size], go_on)
    source.close()
    assert memory[at : at + size] == content(20_000)[begin : begin + size]


@pytest.mark.parametrize(
    ("resident_share", "directly"),
    [
        (0, True),  # cold
        (0.25, True),  # mostly cold: the disk is asked for all of it
        (0.75, False),  # mostly warm: a copy from memory, and the rest by way of the page cache
        (1, False),  # warm
    ],
)
def test_what_is_mostly_resident_is_copied_from_there(
    weights: Path, memory: memoryview, monkeypatch: pytest.MonkeyPatch, resident_share: float, directly: bool
) -> None:
    handle = os.open(weights, os.O_RDONLY)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)  # no reading ahead of what the case says
    os.pread(handle, int(CHUNK_BYTES * resident_share), 0)
    os.close(handle)
    moved = count_direct_moves(monkeypatch)
    source = DiskSource([weights])
    source.read(0, 0, memory[:CHUNK_BYTES], go_on)
    source.close()
    assert memory[:CHUNK_BYTES] == content(ROOM_BYTES)[:CHUNK_BYTES]
    assert bool(moved) is directly


def test_what_was_written_and_is_not_on_the_disk_yet_is_read_too(weights: Path, memory: memoryview) -> None:
    with weights.open("r+b") as file:
        file.write(b"new" * 1000)
    file_ = DirectFile(weights)
    file_.read(memory, 0)
    file_.close()
    assert memory[:3000] == b"new" * 1000
    assert memory[3000:] == content(ROOM_BYTES)[3000:]


def test_reading_directly_leaves_the_page_cache_alone(weights: Path, memory: memoryview) -> None:
    before = resident_bytes(weights)
    file = DirectFile(weights)
    assert file.read(memory, 0) == ROOM_BYTES
    file.close()
    assert resident_bytes(weights) == before


def test_a_disk_that_refuses_at_opening_is_read_by_way_of_the_page_cache(
    weights: Path, memory: memoryview, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_opening(monkeypatch, errno.EINVAL)
    file = DirectFile(weights)
    assert not file.direct
    assert file.read(memory, 0) == ROOM_BYTES
    file.close()
    assert memory == content(ROOM_BYTES)


def test_a_disk_that_refuses_at_reading_is_asked_once(
    weights: Path, memory: memoryview, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = count_direct_moves(monkeypatch, fails=OSError(errno.EINVAL, "Invalid argument"))
    source = DiskSource([weights])
    for begin in (0, CHUNK_BYTES):
        source.read(0, begin, memory[begin : begin + CHUNK_BYTES], go_on)
    source.close()
    assert memory == content(ROOM_BYTES)
    assert len(moved) == 1


def test_a_disk_that_fails_is_an_error_with_the_files_name(
    weights: Path, memory: memoryview, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_direct_moves(monkeypatch, fails=OSError(errno.EIO, "Input/output error"))
    source = DiskSource([weights])
    with pytest.raises(CheckpointBroken, match=f"{weights} cannot be read: Input/output error"):
        source.read(0, 0, memory, go_on)
    source.close()


def test_a_failed_opening_leaves_no_descriptor(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_opening(monkeypatch, errno.EMFILE)
    with pytest.raises(CheckpointBroken, match=str(weights)):
        DiskSource([weights])
    held = [entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    assert weights not in held


def refuse_opening(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    real = os.open

    def refuse(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT:
            raise OSError(number, os.strerror(number))
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)


@pytest.mark.parametrize("at", [0, 1], ids=["aligned memory", "unaligned memory"])
@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_written_whole_in_place_of_a_longer_one(
    tmp_path: Path, memory: memoryview, size: int, at: int
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"old" * 10_000)
    memory[at : at + size] = content(size)
    assert (address_of(memory) + at) % ALIGNMENT_BYTES == at
    write_file(path, memory[at : at + size], go_on)
    assert path.read_bytes() == content(size)


def test_writing_directly_leaves_only_the_tail_in_the_page_cache(tmp_path: Path, memory: memoryview) -> None:
    path = tmp_path / "weights"
    memory[: CHUNK_BYTES + 5] = content(CHUNK_BYTES + 5)
    write_file(path, memory[: CHUNK_BYTES + 5], go_on)
    assert resident_bytes(path, 0, CHUNK_BYTES) == 0


def test_writing_stops_when_it_is_told_to(tmp_path: Path, memory: memoryview) -> None:
    answers = iter([False, True])
    with pytest.raises(LoadCancelled, match=r"writing .* was stopped"):
        write_file(tmp_path / "weights", memory, lambda: next(answers))
    assert (tmp_path / "weights").stat().st_size == CHUNK_BYTES
