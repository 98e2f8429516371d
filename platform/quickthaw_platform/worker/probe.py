"""A quick look at how fast a node's tiers are when it joins: estimates rest on it until real loads follow."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from quickthaw_platform.checkpoints.manifest import weights_paths
from quickthaw_platform.checkpoints.reading.direct import DirectFile
from quickthaw_platform.checkpoints.remote.opening import open_store
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.checkpoints.tiers.bandwidth import ASSUMED_BYTES_PER_SECOND, Bandwidths
from quickthaw_platform.checkpoints.tiers.resident import Tier
from quickthaw_platform.errors import LoadCancelled, QuickthawError
from quickthaw_platform.settings import Settings

PIECE_BYTES = 8 << 20
DISK_BYTES = 64 << 20
"""Read from the disk at most; what is written where there is nothing to read is half of it."""

MEMORY_BYTES = 32 << 20
REMOTE_BYTES = 16 << 20
ENOUGH_BYTES = 1 << 20
"""A file or object that is smaller says nothing of a speed."""

DISK_SECONDS = 0.15
"""Then what has been read, or written, is enough."""

REMOTE_SECONDS = 2.0
"""The remote tier gets longer: a slow one is all the more worth knowing."""

_FILE_NAME = ".probe"
_log = structlog.get_logger()


def probe_tiers(settings: Settings, disk: DiskStore, bandwidths: Bandwidths) -> None:
    """Measure memory, disk and, where there is one, the remote tier; blocks for less than three seconds.

    A tier whose bandwidth the settings limit is never faster than that. One that cannot be measured keeps the figure
    that is assumed.
    """
    _note(bandwidths, "dram", None, memory_speed)
    _note(bandwidths, "disk", settings.disk_bandwidth, lambda: disk_speed(disk, settings.node))
    remote = settings.remote
    if remote is not None:
        _note(bandwidths, "remote", settings.remote_bandwidth, lambda: remote_speed(remote))


def memory_speed() -> float:
    """Return the bytes/s of a copy in memory."""
    with _buffer(MEMORY_BYTES) as source, _buffer(MEMORY_BYTES) as target:
        target[:] = source  # the kernel gives the pages at the first touch
        began = time.monotonic()
        target[:] = source
        return MEMORY_BYTES / (time.monotonic() - began)


def disk_speed(disk: DiskStore, node: str) -> float:
    """Return the bytes/s of reads past the page cache: of the newest checkpoint, else of a file made for it.

    Raises OSError.
    """
    found = _newest_weights(disk)
    if found is not None:
        return _read_speed(found)
    disk.root.mkdir(parents=True, exist_ok=True)
    path = disk.root / f"{_FILE_NAME}-{node}"
    try:
        _write(path)
        return _read_speed(path)
    finally:
        path.unlink(missing_ok=True)


def remote_speed(url: str) -> float | None:
    """Return the bytes/s of one request for a part of the largest object; None where there is none to speak of.

    Of a transfer that takes too long it is the most that it can be. Raises RemoteError.
    """
    store = open_store(url)
    try:
        found = max(store.list(), key=lambda each: each.bytes, default=None)
        if found is None or found.bytes < ENOUGH_BYTES:
            return None
        size = min(found.bytes, REMOTE_BYTES)
        began = time.monotonic()
        with contextlib.suppress(LoadCancelled):
            store.get_range(found, 0, memoryview(bytearray(size)), _after(REMOTE_SECONDS))
        return size / (time.monotonic() - began)
    finally:
        store.close()


def _note(bandwidths: Bandwidths, tier: Tier, limit: float | None, measure: Callable[[], float | None]) -> None:
    try:
        speed = measure()
    except (QuickthawError, OSError) as error:
        _log.warning("a tier was not probed", tier=tier, error=str(error))
        speed = None
    if speed is None and limit is None:
        return
    bandwidths.probed(tier, min(speed or ASSUMED_BYTES_PER_SECOND[tier], limit or math.inf))


def _newest_weights(disk: DiskStore) -> Path | None:
    """Return the largest weights file of the newest checkpoint."""
    newest = max(disk.list(), key=lambda checkpoint: checkpoint.manifest["created_at"], default=None)
    paths = [] if newest is None else weights_paths(newest)
    largest = max(paths, key=lambda path: path.stat().st_size, default=None)
    return largest if largest is not None and largest.stat().st_size >= ENOUGH_BYTES else None


def _read_speed(path: Path) -> float:
    opened = DirectFile(path)
    stop = _after(DISK_SECONDS)
    try:
        with _buffer(PIECE_BYTES) as into:
            into[:] = bytes(PIECE_BYTES)
            began, done = time.monotonic(), 0
            while done < DISK_BYTES and not stop() and (got := opened.read(into, done)):
                done += got
            return done / (time.monotonic() - began)
    finally:
        opened.close()


def _write(path: Path) -> None:
    """Write a file for as long as a read may take."""
    stop = _after(DISK_SECONDS)
    opened = DirectFile(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        with _buffer(PIECE_BYTES) as piece:
            piece[:] = os.urandom(1 << 20) * (PIECE_BYTES >> 20)
            for begin in range(0, DISK_BYTES // 2, PIECE_BYTES):
                opened.write(piece, begin)
                if stop():
                    break
    finally:
        opened.close()


@contextlib.contextmanager
def _buffer(size: int) -> Iterator[memoryview]:
    """Give memory that is aligned to pages, as direct reads want it."""
    yield memoryview(mmap.mmap(-1, size))  # not closed here: an error on its way holds parts of it


def _after(seconds: float) -> Callable[[], bool]:
    """Return what says whether so many seconds have passed."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end
