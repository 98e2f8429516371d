"""The disk tier: one folder a checkpoint, published atomically."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from quickthaw_platform.checkpoints.manifest import Manifest, open_checkpoint, read_manifest
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.errors import CheckpointBroken, CheckpointNotFound

STAGING_PREFIX = ".staging-"
_log = structlog.get_logger()


class DiskStore:
    """The checkpoints under one folder. Any number of processes may use it at once; there is no index to go stale."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self) -> list[Checkpoint]:
        """Return all checkpoints, by name and then newest first; a broken one is left out and logged."""
        found = []
        for directory in self.directories():
            try:
                found.append(open_checkpoint(directory))
            except CheckpointBroken as error:
                _log.warning("checkpoint left out", path=str(directory), error=error.message)
        return sorted(found, key=lambda c: (c.manifest["name"], -c.manifest["created_at"]))

    def directories(self) -> Iterator[Path]:
        """Give the folder of each checkpoint, whole or broken."""
        if self.root.is_dir():
            yield from (path for path in self.root.iterdir() if path.is_dir() and not path.name.startswith("."))

    def find(self, name_or_id: str) -> Checkpoint:
        """Return the checkpoint of this id, or the newest of this name.

        Raises CheckpointNotFound with near names, and CheckpointBroken if it is there but not whole.
        """
        manifests = dict(self._manifests())
        matching = [
            directory for directory, manifest in manifests.items() if name_or_id in (manifest.id, manifest.name)
        ]
        if not matching:
            names = {manifest.name for manifest in manifests.values()}
            raise CheckpointNotFound.named(name_or_id, names, "Import one with `quickthaw models import SOURCE`.")
        return open_checkpoint(max(matching, key=lambda d: (manifests[d].id == name_or_id, manifests[d].created_at)))

    @contextlib.contextmanager
    def staging(self, key: str | None = None, waiting: Callable[[], None] = lambda: None) -> Iterator[Path]:
        """Give a folder to write a checkpoint into; at most one process has that of a `key`, the others wait for it.

        `waiting` is called before a wait, so whoever gives a key looks afterwards whether the work has been done
        already. What an earlier user was killed over is found again in the folder of the same key, folders of others
        are swept. What is not published is deleted at the end and after an error; an interrupt (Ctrl-C) keeps it.
        """
        directory = self.root / f"{STAGING_PREFIX}{key or uuid.uuid4().hex}"
        self._sweep(besides=directory)
        lock = lock_folder(directory, waiting)
        kept = False
        try:
            yield directory
        except KeyboardInterrupt:
            kept = True
            raise
        finally:
            if not kept:
                shutil.rmtree(directory, ignore_errors=True)
            os.close(lock)

    def publish(self, staged: Path) -> Checkpoint:
        """Make the staged folder a checkpoint, atomically: it is there whole, also after a power cut, or not at all.

        Idempotent: what is there already under the same id is kept and returned.
        """
        checkpoint = open_checkpoint(staged)
        target = self.root / checkpoint.id
        if not target.exists():
            for path in (*staged.rglob("*"), staged):
                _fsync(path)
            staged.chmod(0o755)
            self._rename(staged, target)
            _fsync(self.root)
        return open_checkpoint(target)

    def remove(self, checkpoint_id: str) -> None:
        """Delete a checkpoint by its id; one that is not there is ignored. Processes that map its files keep them."""
        if checkpoint_id not in {directory.name for directory in self.directories()}:
            return
        with self.staging() as trash, contextlib.suppress(FileNotFoundError):
            (self.root / checkpoint_id).rename(trash / checkpoint_id)

    @staticmethod
    def _rename(staged: Path, target: Path) -> None:
        try:
            staged.rename(target)
        except OSError as error:  # the same content was published meanwhile
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise

    def _manifests(self) -> Iterator[tuple[Path, Manifest]]:
        for directory in self.directories():
            try:
                yield directory, read_manifest(directory)
            except CheckpointBroken as error:
                _log.warning("checkpoint left out", path=str(directory), error=error.message)

    def _sweep(self, besides: Path) -> None:
        """Delete the other staging folders that nobody holds: their import was killed."""
        for directory in set(self.root.glob(f"{STAGING_PREFIX}*")) - {besides}:
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                lock = os.open(directory, os.O_RDONLY)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(directory, ignore_errors=True)
                finally:
                    os.close(lock)


def lock_folder(directory: Path, waiting: Callable[[], None]) -> int:
    """Make a folder unless it is there, and lock it. Returns the open handle that holds the lock."""
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(directory, os.O_RDONLY)
            _wait_for(lock, waiting)
            if _is_at(lock, directory):  # it may have been published or swept before it was locked
                return lock
            os.close(lock)


def _wait_for(lock: int, waiting: Callable[[], None]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waiting()
        fcntl.flock(lock, fcntl.LOCK_EX)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
