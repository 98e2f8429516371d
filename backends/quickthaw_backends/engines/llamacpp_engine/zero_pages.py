"""Memory that holds nothing but zeros, given back to the kernel.

llama.cpp clears its whole KV cache when it makes a context. A page of zeros that is given back reads as zeros again,
and takes memory only when it is written: so a template holds no cache, a fork copies no page tables for one, and an
instance pays for the tokens it has. Only for a process with a single thread.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

PIECE_BYTES = 1 << 20
LEAST_BYTES = 4 << 20
"""Smaller mappings are left alone."""

_DONTNEED = 4


def give_back_zero_pages(maps: Path = Path("/proc/self/maps")) -> int:
    """Give back the zero pages of large anonymous mappings, a piece at a time; return how many bytes that was."""
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    given = 0
    with _no_garbage_collected():
        for begin, end in list(_anonymous(maps)):
            for piece in range(begin, end, PIECE_BYTES):
                size = min(PIECE_BYTES, end - piece)
                memory = np.frombuffer(memoryview((ctypes.c_ubyte * size).from_address(piece)), dtype=np.uint64)
                if not memory.any() and madvise(piece, size, _DONTNEED) == 0:
                    given += size
    return given


@contextmanager
def _no_garbage_collected() -> Iterator[None]:
    """Keep Python from freeing what it finds unused meanwhile: a mapping that is looked at may go with that."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _anonymous(maps: Path) -> Iterator[tuple[int, int]]:
    """Give begin and end of each large private mapping of no file that may be read and written."""
    for line in maps.read_text().splitlines():
        span, flags, *_rest = line.split(maxsplit=5)
        begin, end = (int(number, 16) for number in span.split("-"))
        named = len(line.split(maxsplit=5)) > 5
        if flags == "rw-p" and not named and end - begin >= LEAST_BYTES and begin % mmap.PAGESIZE == 0:
            yield begin, end
