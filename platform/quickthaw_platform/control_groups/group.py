"""The control group of one instance: made before its process is forked, ended after that has ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from quickthaw_platform.control_groups.joining import JoinOrder
from quickthaw_platform.control_groups.limits import ran_out_of_memory

PREFIX = "quickthaw-instance-"

PATIENCE_SECONDS = 5.0
"""How long killed processes may take to be gone: the kernel gives back their memory first."""

_PAUSE_SECONDS = 0.002
_MAY_BE_MISSING = frozenset({"memory.swap.max"})
"""Files that the kernel has only with the feature that they bound."""


class Group:
    """While its maker lives it holds a lock on the group's folder, by which others see that the group is in use."""

    def __init__(self, folder: Path, memory_bytes: int | None = None) -> None:
        """`folder` exists; `memory_bytes` is as in Limits. Raises BlockingIOError where another process holds it."""
        self.folder = folder
        self.order = JoinOrder(str(folder), memory_bytes)
        self._held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._held)
            raise

    @classmethod
    def make(cls, parent: Path, name: str, files: Mapping[str, str], memory_bytes: int | None) -> Group:
        """Make a group with limits, given as the text for each of its files. Raises OSError where that is refused."""
        folder = parent / (PREFIX + name)
        with _locked(parent, fcntl.LOCK_SH):
            folder.mkdir()
            group = cls(folder, memory_bytes)
        try:
            for file, text in files.items():
                if file not in _MAY_BE_MISSING or (folder / file).exists():
                    (folder / file).write_text(text)
        except OSError:
            group.end()
            raise
        return group

    @property
    def ran_out_of_memory(self) -> bool:
        """Whether its processes were killed for using more than they may together."""
        try:
            return ran_out_of_memory((self.folder / "memory.events").read_text())
        except OSError:
            return False  # memory is not bounded here

    def end(self) -> bool:
        """Kill all its processes and remove it; blocks until they are gone. Returns whether it is removed."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (removed := self._remove()) and time.monotonic() < deadline:
            self._kill()
            time.sleep(_PAUSE_SECONDS)
        os.close(self._held)
        return removed

    def _remove(self) -> bool:
        """Remove the folder and those below it, which what ran there may have made."""
        try:
            for folder, _names, _files in os.walk(self.folder, topdown=False):
                Path(folder).rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def _kill(self) -> None:
        """Kill at once whatever is there and below; before Linux 5.14 each process by itself."""
        with contextlib.suppress(OSError):
            if (self.folder / "cgroup.kill").exists():
                (self.folder / "cgroup.kill").write_text("1")
                return
            for pid in map(int, (self.folder / "cgroup.procs").read_text().split()):
                if pid > 0:  # 0 is one that has no number here; to a signal it would be this process' own group
                    os.kill(pid, signal.SIGKILL)


def end_abandoned(parent: Path) -> list[Path]:
    """End the groups whose makers are no more, as of a worker that was killed; returns those that were removed."""
    with _locked(parent, fcntl.LOCK_EX):  # else one that is just being made could be taken for abandoned
        abandoned = list(_abandoned(parent))
    return [group.folder for group in abandoned if group.end()]


def _abandoned(parent: Path) -> Iterator[Group]:
    for folder in parent.glob(PREFIX + "*"):
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            yield Group(folder)


@contextlib.contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, kind)
        yield
    finally:
        os.close(fd)
