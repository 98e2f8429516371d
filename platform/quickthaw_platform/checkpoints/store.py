"""The disk tier: one folder a checkpoint, published atomically."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
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
        for directory in self._directories():
            try:
                found.append(open_checkpoint(directory))
            except CheckpointBroken as error:
                _log.warning("checkpoint left out", path=str(directory), error=error.message)
        return sorted(found, key=lambda c: (c.manifest["name"], -c.manifest["created_at"]))

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
    def staging(self) -> Iterator[Path]:
        """Give a folder to write a checkpoint into; what is not published at the end is deleted.

        The folder is locked while it is in use; that tells leftovers of killed imports apart, which are deleted here.
        """
        self._sweep()
        self.root.mkdir(parents=True, exist_ok=True)
        directory, lock = self._locked_folder()
        try:
            yield directory
        finally:
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
        if checkpoint_id not in {directory.name for directory in self._directories()}:
            return
        with self.staging() as trash, contextlib.suppress(FileNotFoundError):
            (self.root / checkpoint_id).rename(trash / checkpoint_id)

    def _locked_folder(self) -> tuple[Path, int]:
        while True:
            directory = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=self.root))
            lock = os.open(directory, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if directory.exists():  # another process' sweep may have taken it before it was locked
                return directory, lock
            os.close(lock)

    @staticmethod
    def _rename(staged: Path, target: Path) -> None:
        try:
            staged.rename(target)
        except OSError as error:  # the same content was published meanwhile
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise

    def _directories(self) -> Iterator[Path]:
        if self.root.is_dir():
            yield from (path for path in self.root.iterdir() if path.is_dir() and not path.name.startswith("."))

    def _manifests(self) -> Iterator[tuple[Path, Manifest]]:
        for directory in self._directories():
            try:
                yield directory, read_manifest(directory)
            except CheckpointBroken as error:
                _log.warning("checkpoint left out", path=str(directory), error=error.message)

    def _sweep(self) -> None:
        """Delete staging folders that nobody holds: their import was killed."""
        for directory in self.root.glob(f"{STAGING_PREFIX}*"):
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                lock = os.open(directory, os.O_RDONLY)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(directory, ignore_errors=True)
                finally:
                    os.close(lock)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
