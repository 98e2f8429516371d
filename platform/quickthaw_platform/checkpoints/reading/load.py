"""One load: every chunk of a checkpoint's weights read, verified, and put right where it is wrong."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from quickthaw_platform.checkpoints.arrival import ArrivalWriter
from quickthaw_platform.checkpoints.checksums import checksum
from quickthaw_platform.checkpoints.manifest import CHUNK_BYTES, WeightsFile
from quickthaw_platform.checkpoints.reading.pace import Pace
from quickthaw_platform.checkpoints.reading.source import ByteSource
from quickthaw_platform.errors import CheckpointBroken, LoadCancelled, QuickthawError

_log = structlog.get_logger()

Repair = Callable[[int, int, memoryview], None]
"""Takes the index of a weights file, the index of a chunk in it, and the chunk's right bytes."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a weights file that has a checksum of its own."""

    file: int
    index: int
    begin: int
    size: int
    checksum: str
    algorithm: str

    def is_right(self, content: memoryview) -> bool:
        """Whether these are its bytes."""
        return checksum(content, self.algorithm) == self.checksum


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load did."""

    bytes: int
    seconds: float
    repaired: tuple[tuple[int, int], ...]  # (file, chunk)


def runs_of(files: Sequence[WeightsFile], read_bytes: int = CHUNK_BYTES) -> list[list[Chunk]]:
    """Return the chunks that are read together, in the order of reading: so many bytes in a row, at least a chunk.

    Partitions stand side by side, so that all of them arrive at once.
    """
    length = max(1, read_bytes // CHUNK_BYTES)
    runs = []
    for number, file in enumerate(files):
        chunks = [
            Chunk(number, index, begin, min(CHUNK_BYTES, file.bytes - begin), sum_, file.algorithm)
            for index, (begin, sum_) in enumerate(zip(range(0, file.bytes, CHUNK_BYTES), file.chunks, strict=True))
        ]
        runs += [chunks[at : at + length] for at in range(0, len(chunks), length)]
    return sorted(runs, key=lambda run: (run[0].index, run[0].file))


class Load:
    """Used once: `run` in one thread, `cancel` and the counters from any."""

    def __init__(
        self,
        files: Sequence[WeightsFile],
        source: ByteSource,
        destination: Sequence[memoryview] | None,
        arrival: ArrivalWriter,
        *,
        backup: ByteSource | None = None,
        on_repair: Repair = lambda _file, _chunk, _right: None,
        threads: int = 2,
        read_bytes: int = CHUNK_BYTES,
        bytes_per_second: float | None = None,
    ) -> None:
        """`destination` has a view for each file; None: the page cache, that the source reads by way of. Each thread
        asks the source for up to `read_bytes` at a time, whole chunks.

        `on_repair` is called where a chunk was wrong at the source and right in `backup`.
        """
        self.bytes = sum(file.bytes for file in files)
        self.bytes_done = 0
        self._files = tuple(files)
        self._source = source
        self._backup = backup
        self._destination = destination
        self._arrival = arrival
        self._on_repair = on_repair
        self._threads = threads
        self._read_bytes = max(read_bytes, CHUNK_BYTES)
        self._pace = Pace(bytes_per_second)
        self._stop = threading.Event()
        self._cancelled = False
        self._lock = threading.Lock()  # guards what follows
        self._todo: Iterator[Sequence[Chunk]] = iter(runs_of(files, read_bytes))
        self._finished: list[set[int]] = [set() for _ in files]
        self._marks = [0 for _ in files]  # chunks, without a gap
        self._repaired: list[tuple[int, int]] = []

    def run(self) -> LoadReport:
        """Read everything; returns when all of it is there and right.

        Raises CheckpointBroken, which names the file, RemoteError or LoadCancelled. Whoever waits for the weights
        gets the same cause. Afterwards the source is closed.
        """
        began = time.monotonic()
        try:
            self._read_all()
        except QuickthawError as error:
            self._arrival.fail(error.message)
            raise
        except BaseException as error:
            self._arrival.fail(f"the load failed: {type(error).__name__}: {error}")
            raise
        finally:
            self._source.close()
            if self._backup is not None:
                self._backup.close()
            self._destination = None  # lets the memory be closed or grown
        self._arrival.complete()
        return LoadReport(self.bytes, time.monotonic() - began, tuple(self._repaired))

    def cancel(self) -> None:
        """Have `run` end soon with LoadCancelled."""
        self._cancelled = True
        self._stop.set()

    def _read_all(self) -> None:
        with ThreadPoolExecutor(self._threads, thread_name_prefix="load") as threads:
            workers = [threads.submit(self._work) for _ in range(self._threads)]
        errors = [error for worker in workers if (error := worker.exception()) is not None]
        for error in errors:
            traceback.clear_frames(error.__traceback__)  # they hold views of the destination
        if self._cancelled:
            raise LoadCancelled("the load was stopped")
        for error in sorted(errors, key=lambda error: isinstance(error, LoadCancelled)):  # the cause before its echo
            raise error

    def _work(self) -> None:
        scratch = memoryview(b"") if self._destination is not None else memoryview(bytearray(self._read_bytes))
        try:
            while (run := self._next()) is not None:
                self._read(run, self._place(run, scratch))
        except BaseException:
            self._stop.set()
            raise

    def _next(self) -> Sequence[Chunk] | None:
        if self._stop.is_set():
            raise LoadCancelled("the load was stopped")
        with self._lock:
            return next(self._todo, None)

    def _place(self, run: Sequence[Chunk], scratch: memoryview) -> memoryview:
        begin, end = run[0].begin, run[-1].begin + run[-1].size
        if self._destination is None:
            return scratch[: end - begin]
        return self._destination[run[0].file][begin:end]

    def _read(self, run: Sequence[Chunk], into: memoryview) -> None:
        self._pace.wait(len(into), self._stop.is_set)
        self._try_source(run[0], into)
        for chunk in run:
            piece = into[chunk.begin - run[0].begin :][: chunk.size]
            if not chunk.is_right(piece):
                self._mend(chunk, piece)
            self._note(chunk)

    def _try_source(self, first: Chunk, into: memoryview) -> bool:
        """Read from the source; what it cannot read is a case for the backup, where there is one."""
        try:
            self._source.read(first.file, first.begin, into, self._stop.is_set)
        except CheckpointBroken as error:
            if self._backup is None:
                raise
            _log.warning("a piece cannot be read", source=self._source.name, error=error.message)
            into[:] = bytes(len(into))  # what lies there could be right by chance, from another load
            return False
        return True

    def _mend(self, chunk: Chunk, into: memoryview) -> None:
        """Read a chunk that is wrong again, in case that a bit flipped on the way; then from the backup."""
        if self._try_source(chunk, into) and chunk.is_right(into):
            return
        name = self._files[chunk.file].path
        _log.warning("a chunk is wrong", file=name, chunk=chunk.index, source=self._source.name)
        where = f"chunk {chunk.index} of {name} is wrong on the {self._source.name}"
        if self._backup is None:
            raise CheckpointBroken(f"{where}, and no other tier has it; remove the checkpoint and import it again")
        self._backup.read(chunk.file, chunk.begin, into, self._stop.is_set)
        if not chunk.is_right(into):
            raise CheckpointBroken(f"{where} and on the {self._backup.name}; remove the checkpoint and import it again")
        self._on_repair(chunk.file, chunk.index, into)
        with self._lock:
            self._repaired.append((chunk.file, chunk.index))

    def _note(self, chunk: Chunk) -> None:
        """Move the file's watermark over what is there without a gap."""
        with self._lock:
            self.bytes_done += chunk.size
            finished = self._finished[chunk.file]
            finished.add(chunk.index)
            mark = self._marks[chunk.file]
            while mark in finished:
                finished.remove(mark)
                mark += 1
            self._marks[chunk.file] = mark
            self._arrival.advance(chunk.file, min(mark * CHUNK_BYTES, self._files[chunk.file].bytes))
