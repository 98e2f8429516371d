"""Weights files of given bytes."""

from __future__ import annotations

import functools
import hashlib
import os
import random
from collections.abc import Sequence
from pathlib import Path

from quickthaw_platform.checkpoints.checksums import NEW_ALGORITHM, checksum
from quickthaw_platform.checkpoints.manifest import CHUNK_BYTES, WeightsFile


@functools.lru_cache(maxsize=8)
def content(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def record(path: str, data: bytes, algorithm: str = NEW_ALGORITHM) -> WeightsFile:
    """Describe a file of these bytes, with checksums of this kind."""
    chunks = tuple(checksum(data[at : at + CHUNK_BYTES], algorithm) for at in range(0, len(data), CHUNK_BYTES))
    digest = hashlib.sha256(data).hexdigest()
    return WeightsFile(path=path, bytes=len(data), sha256=digest, data_offset=0, chunks=chunks, algorithm=algorithm)


def write(folder: Path, *contents: bytes) -> tuple[list[Path], list[WeightsFile]]:
    """Write a file for each content; return paths and records."""
    paths = [folder / f"weights-{number}.safetensors" for number in range(len(contents))]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    return paths, [record(path.name, data) for path, data in zip(paths, contents, strict=True)]


def make_cold(paths: Sequence[Path]) -> None:
    """Have the kernel forget the files' pages."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
