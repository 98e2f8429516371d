"""The disk tier of a node: its budget, what is in use of it, and what goes for another checkpoint.

Several agents may share one disk. What is in use is locked (flock, shared) on its manifest, so that none of them evicts
it; the lock ends with its holder, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from quickthaw_platform.checkpoints.manifest import FILE_NAME, Manifest
from quickthaw_platform.checkpoints.store import DiskStore
from quickthaw_platform.checkpoints.tiers.eviction import Cached, choose_victims
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.errors import Conflict, StartFailed

MB = 1_000_000
SPARE_BYTES = 256 << 20
"""What is left free on the disk where no budget is set."""

_log = structlog.get_logger()


class DiskTier:
    """Any thread may call. `elsewhere` says whether a checkpoint is in the remote tier too: only such ones are evicted,
    for the last copy of anything is never deleted to make room.
    """

    def __init__(
        self,
        store: DiskStore,
        budget_bytes: int | None,
        elsewhere: Callable[[str], bool],
        reload_seconds: Callable[[int], float],
    ) -> None:
        """`reload_seconds` estimates how long so many bytes take from beyond."""
        self.store = store
        self._budget_bytes = budget_bytes
        self._elsewhere = elsewhere
        self._reload_seconds = reload_seconds
        self._lock = threading.Lock()  # guards all that follows, and one making of room at a time
        self._cached: dict[str, Cached] = {}
        self._inflation = 0.0

    def use(self, checkpoint: Checkpoint) -> None:
        """Count a use of a checkpoint: what is used often stays."""
        with self._lock:
            self._cached[checkpoint.id] = self._seen(checkpoint).used(self._inflation)

    @staticmethod
    def pin(path: Path) -> Callable[[], None]:
        """Keep a checkpoint's folder from being evicted until what is returned is called."""
        handle = os.open(path / FILE_NAME, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_SH)
        return lambda: os.close(handle)

    def make_room(self, manifest: Manifest) -> None:
        """Evict until a checkpoint fits. Raises StartFailed, with nothing evicted, where it cannot fit."""
        wanted = sum(file.bytes for file in manifest.every_file)
        with self._lock:
            checkpoints = self.store.list()
            lacking = wanted - self._free_bytes(checkpoints)
            candidates = [c for c in checkpoints if self._elsewhere(c.id) and not _in_use(c.path)]
            eviction = choose_victims(map(self._seen, candidates), lacking, self._inflation)
            if eviction is None:
                raise StartFailed(self._no_room(manifest, wanted))
            for checkpoint_id in eviction.victims:
                self._evict(checkpoint_id)
            self._inflation = eviction.inflation

    def evict(self, checkpoint_id: str) -> None:
        """Delete one copy. Conflict where it is the only one, or in use; one that is not there is ignored."""
        with self._lock:
            path = self.store.root / checkpoint_id
            if not path.exists():
                return
            if not self._elsewhere(checkpoint_id):
                raise Conflict(
                    f"this disk may have the only copy of checkpoint {checkpoint_id}: the remote tier has none; "
                    "`quickthaw models rm` deletes it everywhere"
                )
            if _in_use(path):
                raise Conflict(f"checkpoint {checkpoint_id} is in use on this node's disk")
            self._evict(checkpoint_id)

    def used_bytes(self) -> int:
        """Return what the checkpoints take."""
        return _bytes_of(self.store.list())

    def _free_bytes(self, checkpoints: list[Checkpoint]) -> int:
        self.store.root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.store.root).free - SPARE_BYTES
        if self._budget_bytes is None:
            return free
        return min(free, self._budget_bytes - _bytes_of(checkpoints))

    def _seen(self, checkpoint: Checkpoint) -> Cached:
        size = _bytes_of([checkpoint])
        known = self._cached.get(checkpoint.id)
        if known is None:
            known = self._cached[checkpoint.id] = Cached(checkpoint.id, size, self._reload_seconds(size))
        return known

    def _evict(self, checkpoint_id: str) -> None:
        self.store.remove(checkpoint_id)
        self._cached.pop(checkpoint_id, None)
        _log.info("checkpoint evicted from disk", checkpoint=checkpoint_id)

    def _no_room(self, manifest: Manifest, wanted: int) -> str:
        limit = "what is free" if self._budget_bytes is None else f"its budget of {self._budget_bytes / MB:,.0f} MB"
        return (
            f"checkpoint {manifest.name!r} takes {wanted / MB:,.0f} MB and does not fit on the node's disk within "
            f"{limit}, for what is there is in use or nowhere else; raise QUICKTHAW_DISK_BUDGET or free some space"
        )


def _in_use(path: Path) -> bool:
    """Whether somebody holds the folder (see `DiskTier.pin`)."""
    try:
        handle = os.open(path / FILE_NAME, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _bytes_of(checkpoints: list[Checkpoint]) -> int:
    return sum(file.bytes for c in checkpoints for file in Manifest.of(c).every_file)
