from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from quickthaw_platform.checkpoints.arrival import Arrival, ArrivalWriter
from quickthaw_platform.checkpoints.manifest import CHUNK_BYTES
from quickthaw_platform.checkpoints.reading.disk import DiskSource
from quickthaw_platform.checkpoints.reading.load import Load, runs_of
from quickthaw_platform.checkpoints.reading.memory import MemoryPool
from quickthaw_platform.checkpoints.reading.residency import resident_bytes
from quickthaw_platform.errors import CheckpointBroken, LoadCancelled, StartFailed
from tests.unit.checkpoints.reading.files import content, make_cold, record, write


class Bytes:
    """A source in memory; `before` is called with (file, chunk) ahead of each read and may raise."""

    name = "remote"

    def __init__(self, *contents: bytes, before: Callable[[int, int], None] = lambda _file, _chunk: None) -> None:
        self.contents = contents
        self.before = before
        self.closed = False

    def read(self, file: int, begin: int, into: memoryview, stop: Callable[[], bool]) -> None:
        self.before(file, begin // CHUNK_BYTES)
        into[:] = self.contents[file][begin : begin + len(into)]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def arrival() -> Iterator[ArrivalWriter]:
    writer = ArrivalWriter()
    yield writer
    writer.close()


@pytest.fixture
def pool() -> Iterator[MemoryPool]:
    pool = MemoryPool()
    yield pool
    pool.close()


def seen(arrival: ArrivalWriter) -> Arrival:
    return Arrival(Path(f"/proc/self/fd/{arrival.fd}"))


def room(contents: Sequence[bytes]) -> list[memoryview]:
    return [memoryview(bytearray(len(data))) for data in contents]


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


SIZES = [0, 1, 511, 512, 513, 4095, 4096, 4097, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 513]


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_every_byte_arrives_whatever_the_size(
    tmp_path: Path, arrival: ArrivalWriter, pool: MemoryPool, size: int, warm: bool
) -> None:
    data = content(size)
    paths, files = write(tmp_path, data)
    if not warm:
        make_cold(paths)
    view = pool.take(size).view
    report = Load(files, DiskSource(paths), [view], arrival).run()
    assert view == data
    assert (report.bytes, report.repaired) == (size, ())
    assert seen(arrival).complete
    assert seen(arrival).mark(0) == size


def test_partitions_arrive_side_by_side(arrival: ArrivalWriter) -> None:
    contents = [content(3 * CHUNK_BYTES + 1, 1), content(CHUNK_BYTES, 2), content(2 * CHUNK_BYTES, 3)]
    files = [record(str(number), data) for number, data in enumerate(contents)]
    assert [(run[0].file, run[0].index) for run in runs_of(files)][:4] == [(0, 0), (1, 0), (2, 0), (0, 1)]
    views = room(contents)
    Load(files, Bytes(*contents), views, arrival, threads=3).run()
    assert views == contents
    assert [seen(arrival).mark(number) for number in range(3)] == [len(data) for data in contents]


@pytest.mark.parametrize("read_bytes", [1, CHUNK_BYTES, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES + 1, 100 * CHUNK_BYTES])
def test_several_chunks_are_read_at_once_and_verified_each(arrival: ArrivalWriter, read_bytes: int) -> None:
    data = content(5 * CHUNK_BYTES + 7)
    wrong = bytearray(data)
    wrong[4 * CHUNK_BYTES] ^= 1
    views = room([data])
    report = Load(
        [record("w", data)], Bytes(bytes(wrong)), views, arrival, backup=Bytes(data), read_bytes=read_bytes
    ).run()
    assert views[0] == data
    assert report.repaired == ((0, 4),)
    assert seen(arrival).mark(0) == len(data)


def test_through_the_page_cache_a_cold_file_is_resident_and_verified(tmp_path: Path, arrival: ArrivalWriter) -> None:
    paths, files = write(tmp_path, content(CHUNK_BYTES + 5))
    make_cold(paths)
    Load(files, DiskSource(paths, through_cache=True), None, arrival).run()
    assert resident_bytes(paths[0]) == CHUNK_BYTES + 5


def test_the_mark_never_passes_a_chunk_that_is_not_there(arrival: ArrivalWriter) -> None:
    """The first chunk comes last."""
    data = content(4 * CHUNK_BYTES)
    others = threading.Semaphore(0)
    marks: list[int] = []

    def before(_file: int, chunk: int) -> None:
        if chunk == 0:
            for _ in range(3):
                others.acquire()
            marks.append(seen(arrival).mark(0))
        else:
            others.release()

    Load([record("w", data)], Bytes(data, before=before), room([data]), arrival, threads=2).run()
    assert marks == [0]
    assert seen(arrival).mark(0) == len(data)


def test_a_wrong_chunk_is_fetched_from_the_backup_and_told(tmp_path: Path, arrival: ArrivalWriter) -> None:
    data = content(2 * CHUNK_BYTES + 7)
    paths, files = write(tmp_path, data)
    flip(paths[0], CHUNK_BYTES + 3)
    repairs: list[tuple[int, int, bytes]] = []
    views = room([data])
    report = Load(
        files,
        DiskSource(paths),
        views,
        arrival,
        backup=Bytes(data),
        on_repair=lambda file, chunk, right: repairs.append((file, chunk, bytes(right))),
    ).run()
    assert views[0] == data
    assert report.repaired == ((0, 1),)
    assert repairs == [(0, 1, data[CHUNK_BYTES : 2 * CHUNK_BYTES])]


@pytest.mark.parametrize("backup", [None, Bytes(bytes(2 * CHUNK_BYTES))])
def test_a_chunk_that_is_wrong_everywhere_fails_the_load_with_the_files_name(
    tmp_path: Path, arrival: ArrivalWriter, backup: Bytes | None
) -> None:
    paths, files = write(tmp_path, content(2 * CHUNK_BYTES))
    flip(paths[0], 5)
    with pytest.raises(CheckpointBroken, match=r"chunk 0 of weights-0\.safetensors is wrong"):
        Load(files, DiskSource(paths), room([bytes(2 * CHUNK_BYTES)]), arrival, backup=backup).run()
    with pytest.raises(StartFailed, match=r"weights-0\.safetensors"):
        seen(arrival).wait(0, 1)


def test_a_piece_that_cannot_be_read_is_fetched_from_the_backup(arrival: ArrivalWriter) -> None:
    data = content(2 * CHUNK_BYTES)

    def before(_file: int, chunk: int) -> None:
        if chunk == 1:
            raise CheckpointBroken("the disk cannot read it")

    views = room([data])
    report = Load([record("w", data)], Bytes(data, before=before), views, arrival, backup=Bytes(data)).run()
    assert views[0] == data
    assert report.repaired == ((0, 1),)


def test_a_chunk_that_was_wrong_on_the_way_is_read_again(arrival: ArrivalWriter) -> None:
    class Flaky(Bytes):
        reads = 0

        def read(self, file: int, begin: int, into: memoryview, stop: Callable[[], bool]) -> None:
            super().read(file, begin, into, stop)
            self.reads += 1
            if self.reads == 1:
                into[0] ^= 1

    data = content(100)
    views = room([data])
    assert Load([record("w", data)], Flaky(data), views, arrival).run().repaired == ()
    assert views[0] == data


def test_a_truncated_file_fails_the_load(tmp_path: Path, arrival: ArrivalWriter) -> None:
    data = content(CHUNK_BYTES + 5000)
    paths, files = write(tmp_path, data)
    with paths[0].open("r+b") as file:
        file.truncate(CHUNK_BYTES + 10)
    with pytest.raises(CheckpointBroken, match="cut off: it ends at byte 8,388,618"):
        Load(files, DiskSource(paths), room([data]), arrival).run()


def test_an_error_in_one_thread_stops_the_others_and_is_the_cause(arrival: ArrivalWriter) -> None:
    data = content(64 * CHUNK_BYTES // 8)
    files = [record("w", data)] * 8
    reads: list[tuple[int, int]] = []

    def before(file: int, chunk: int) -> None:
        reads.append((file, chunk))
        if file == 1:
            raise CheckpointBroken("the disk is gone")

    source = Bytes(*[data] * 8, before=before)
    memories = [bytearray(len(data)) for _ in range(8)]
    views = [memoryview(memory) for memory in memories]
    with pytest.raises(CheckpointBroken, match="the disk is gone") as caught:
        Load(files, source, views, arrival, threads=2).run()
    assert caught.value.__traceback__ is not None
    assert len(reads) < len(runs_of(files))
    assert source.closed
    for view, memory in zip(views, memories, strict=True):
        view.release()
        memory.clear()  # BufferError if anybody still had a part of it
    with pytest.raises(StartFailed, match="the disk is gone"):
        seen(arrival).wait_for_all([1])


def test_a_cancelled_load_ends_without_reading_on(arrival: ArrivalWriter) -> None:
    data = content(8 * CHUNK_BYTES)
    loads: list[Load] = []
    source = Bytes(data, before=lambda _file, _chunk: loads[0].cancel())
    loads.append(Load([record("w", data)], source, room([data]), arrival, threads=1))
    with pytest.raises(LoadCancelled):
        loads[0].run()
    assert loads[0].bytes_done <= CHUNK_BYTES
    with pytest.raises(StartFailed):
        seen(arrival).wait(0, len(data))


def test_a_file_on_a_tmpfs_is_read_whether_or_not_the_kernel_reads_it_directly(arrival: ArrivalWriter) -> None:
    data = content(CHUNK_BYTES + 5)
    folder = Path("/dev/shm") / f"quickthaw-test-{id(data)}"
    folder.mkdir()
    try:
        paths, files = write(folder, data)
        views = room([data])
        Load(files, DiskSource(paths), views, arrival).run()
        assert views[0] == data
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_a_load_held_to_a_bandwidth_takes_the_time_of_it(arrival: ArrivalWriter) -> None:
    data = content(CHUNK_BYTES)
    report = Load([record("w", data)], Bytes(data), room([data]), arrival, bytes_per_second=10 * len(data)).run()
    assert report.seconds >= 0.1
