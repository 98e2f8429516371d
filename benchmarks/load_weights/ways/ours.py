"""Our own ways, by the code that a node runs."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.load_weights.files import Files
from benchmarks.load_weights.usage import rollup_bytes
from benchmarks.load_weights.ways import Arrays, Way, bytes_of, touch
from quickthaw_backends.engines.transformers_engine.mapping import map_weights
from quickthaw_platform.checkpoints.arrival import ArrivalWriter
from quickthaw_platform.checkpoints.manifest import CHUNK_BYTES, WeightsFile
from quickthaw_platform.checkpoints.reading.disk import DiskSource
from quickthaw_platform.checkpoints.reading.load import Load
from quickthaw_platform.checkpoints.reading.memory import Block, MemoryPool
from quickthaw_platform.checkpoints.reading.source import ByteSource
from quickthaw_platform.settings import Settings

TOUCHED = "touched\n"
DISK_THREADS: int = Settings.model_fields["load_threads"].default


def into_memory(files: Files) -> Way:
    """Return the way of a cold start: into the memory that the node has made ahead, which is then mapped."""
    return from_source(files.manifest.weights, lambda: DiskSource([files.safetensors]), DISK_THREADS)


def into_fresh_memory(files: Files) -> Way:
    """Return the way of a node that had no memory ready."""
    way = into_memory(files)
    return Way(way.load)


def through_cache(files: Files) -> Way:
    """Return the way of a cold start that leaves the file in the page cache, and maps it from there."""
    (file,) = files.manifest.weights

    def load() -> Arrays:
        source = DiskSource([files.safetensors], through_cache=True)
        Load([file], source, None, ArrivalWriter(), threads=DISK_THREADS).run()
        return _mapped(files.safetensors, file.bytes)

    return Way(load)


def mapped(files: Files) -> Way:
    """Return the way of a start whose file is in the page cache."""
    (file,) = files.manifest.weights
    return Way(lambda: _mapped(files.safetensors, file.bytes))


def from_source(
    weights: tuple[WeightsFile, ...], source: Callable[[], ByteSource], threads: int, read_bytes: int = CHUNK_BYTES
) -> Way:
    """Return the way of loading one weights file from anywhere into memory made ahead."""
    (file,) = weights
    pool = MemoryPool()

    def load() -> Arrays:
        return _mapped(_path(_loaded(pool, file, source(), threads, read_bytes)), file.bytes)

    return Way(load, lambda: pool.prepare(file.bytes))


def second_by_cache(files: Files) -> Way:
    """Return the way of a second instance of what the page cache holds."""
    (file,) = files.manifest.weights
    return _second(lambda: files.safetensors, file.bytes)


def second_by_memory(files: Files) -> Way:
    """Return the way of a second instance of what the node's memory holds."""
    (file,) = files.manifest.weights
    pool = MemoryPool()
    return _second(lambda: _path(_loaded(pool, file, DiskSource([files.safetensors]), DISK_THREADS)), file.bytes)


class _Second:
    """A fork of a process that has the checkpoint mapped and touched: it maps and touches it again."""

    def __init__(self, place: Callable[[], Path], size: int) -> None:
        self._place = place
        self._size = size
        self._path = Path()
        self._first: Arrays = []
        self._answers: Any = None

    def ahead(self) -> None:
        """Be the first instance."""
        self._path = self._place()
        self._first = _mapped(self._path, self._size)
        touch(self._first)
        gc.freeze()  # as the node's templates do before they fork

    def load(self) -> Arrays:
        """Fork; return when the fork has touched everything."""
        reading, writing = os.pipe()
        if os.fork() == 0:
            self._be_second(writing)
        os.close(writing)
        self._answers = os.fdopen(reading)
        if self._answers.readline() != TOUCHED:
            raise RuntimeError("the second instance failed")
        return []

    def extra_bytes(self) -> int:
        """Return what only the fork has in memory."""
        with self._answers:
            taken = int(self._answers.readline())
        os.wait()
        return taken

    def _be_second(self, writing: int) -> None:
        code = 1
        try:
            arrays = _mapped(self._path, self._size)
            touch(arrays)
            os.write(writing, TOUCHED.encode())
            os.write(writing, f"{rollup_bytes('Private_Clean', 'Private_Dirty')}\n".encode())
            code = 0
        finally:
            os._exit(code)


def _second(place: Callable[[], Path], size: int) -> Way:
    second = _Second(place, size)
    return Way(second.load, second.ahead, second.extra_bytes)


def _loaded(
    pool: MemoryPool, file: WeightsFile, source: ByteSource, threads: int, read_bytes: int = CHUNK_BYTES
) -> Block:
    block = pool.take(file.bytes)
    Load([file], source, [block.view], ArrivalWriter(), threads=threads, read_bytes=read_bytes).run()
    return block


def _path(block: Block) -> Path:
    return Path(f"/proc/self/fd/{block.fd}")


def _mapped(path: Path, size: int) -> Arrays:
    return bytes_of(found.tensor for found in map_weights([path], [size]).values())
