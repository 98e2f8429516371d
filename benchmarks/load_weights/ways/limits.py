"""What the machine can do at most: the same bytes moved by the shortest code, into memory that is there already."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.load_weights.files import Files
from benchmarks.load_weights.shapes import BF16_BYTES
from benchmarks.load_weights.ways import PAGE_BYTES, Arrays, Way, bytes_of
from quickthaw_platform.checkpoints.header import LENGTH_BYTES, METADATA
from quickthaw_platform.checkpoints.reading.memory import MemoryPool

if TYPE_CHECKING:
    import torch

PIECE_BYTES = 8 << 20
SOURCE_BYTES = 32 * PIECE_BYTES


def direct_read(files: Files, threads: int) -> Way:
    """Return the way of reading past the page cache with so many threads, in order."""
    return _read(files.safetensors, threads, os.O_DIRECT)


def cached_read(files: Files, threads: int) -> Way:
    """Return the way of reading from the page cache."""
    return _read(files.safetensors, threads, 0)


def copy(files: Files, threads: int) -> Way:
    """Return the way of copying as many bytes in memory, over and over from a piece that no cache holds."""
    size = files.safetensors.stat().st_size
    pool = MemoryPool()
    source_block, target_block = pool.take(SOURCE_BYTES), pool.take(size)

    def ahead() -> None:
        source_block.fault_in()
        target_block.fault_in()

    def load() -> Arrays:
        source, target = (np.frombuffer(block.view, dtype=np.uint8) for block in (source_block, target_block))

        def copy_piece(begin: int, end: int) -> None:
            place = begin % SOURCE_BYTES
            np.copyto(target[begin:end], source[place : place + end - begin])

        run(threads, size, copy_piece)
        return []

    return Way(load, ahead)


def plain_map(files: Files) -> Way:
    """Return the shortest loader there is: the file mapped, its header parsed, a tensor over each place, no check."""
    import torch

    def load() -> Arrays:
        with files.safetensors.open("rb") as file:
            mapping = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE)  # torch warns of memory that is read-only
        base = LENGTH_BYTES + int.from_bytes(mapping[:LENGTH_BYTES], "little")
        entries: dict[str, Any] = json.loads(mapping[LENGTH_BYTES:base])
        del entries[METADATA]
        return bytes_of(tensor(mapping, base, entry) for entry in entries.values())

    def tensor(mapping: mmap.mmap, base: int, entry: dict[str, Any]) -> torch.Tensor:
        begin, end = entry["data_offsets"]
        count = (end - begin) // BF16_BYTES
        flat = torch.frombuffer(mapping, dtype=torch.bfloat16, count=count, offset=base + begin)
        return flat.view(entry["shape"])

    return Way(load)


def run(threads: int, size: int, move: Callable[[int, int], object], piece_bytes: int = PIECE_BYTES) -> None:
    """Call `move` with the begin and end of every piece of `size` bytes, in order, from some threads."""
    pieces = [(begin, min(begin + piece_bytes, size)) for begin in range(0, size, piece_bytes)]
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda piece: move(*piece), pieces):
            pass


def _read(path: Path, threads: int, flags: int) -> Way:
    size = path.stat().st_size
    room = -(-size // PAGE_BYTES) * PAGE_BYTES  # direct reads are of whole pages
    block = MemoryPool().take(room)

    def load() -> Arrays:
        with _opened(path, flags) as handle:
            run(threads, room, lambda begin, end: _read_piece(handle, block.view[begin:end], begin, size))
        return []

    return Way(load, block.fault_in)


def _read_piece(handle: int, into: memoryview, begin: int, size: int) -> None:
    wanted = min(len(into), size - begin)
    got = os.preadv(handle, [into], begin)
    if got != wanted:
        raise RuntimeError(f"a read at {begin:,} gave {got:,} bytes instead of {wanted:,}")


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY | flags)
    try:
        yield handle
    finally:
        os.close(handle)
