"""Tells the disk once a second what the embedded Valkey has appended, beside Valkey instead of within it.

Valkey can do that itself (`appendfsync everysec`). But while its disk is slow it then holds back changes that it has
answered, and a kill loses them. So it hands every change to the operating system before it answers (`appendfsync no`),
and fdatasync is called here, in a thread: a slow disk keeps neither Valkey nor the supervisor waiting. What Valkey
writes anew (base files and the manifest), and all of it when it is stopped, it syncs itself.

What the disk refused once, Linux may drop although a later fdatasync succeeds. So after a failure Valkey is asked to
write its file anew from memory, and the problem is over when the files that it was about are gone.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from redis.exceptions import RedisError

SYNC_SECONDS = 1.0
REWRITE_SECONDS = 60.0
"""Between two requests to write the file anew: each one that fails leaves another file behind."""

CLOSE_SECONDS = 5.0
"""So long the end waits for a disk that is just being told; its thread ends with its process in any case."""

_PROBLEM_FILE = "sync.problem"

_log = structlog.get_logger()


class ValkeySync:
    """A thread that syncs the append-only files in Valkey's folder, from `start` to `close`."""

    def __init__(self, folder: Path, rewrite: Callable[[], None]) -> None:
        """`rewrite` has Valkey begin to write its append-only file anew; it may raise RedisError."""
        self._folder = folder
        self._rewrite = rewrite
        self._synced: dict[Path, tuple[int, int]] = {}  # file → its size and time of change when it was synced last
        self._broken: dict[Path, str] | None = None  # file → what its disk said; None: not read yet
        self._told: str | None = None
        self._rewrite_at = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="valkey-sync", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; call it when Valkey has ended."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)

    def round(self) -> None:
        """Sync each file that has changed since last time, and say so where its disk does not take it."""
        files = sorted((self._folder / "appendonlydir").glob("*.incr.aof"))
        broken = self._known_as_broken(files)
        for file in files:
            try:
                self._sync(file)
            except FileNotFoundError:
                continue  # Valkey has just written another in its place
            except OSError as error:
                broken[file] = f"{file.name}: {error.strerror}"
        self._synced = {file: state for file, state in self._synced.items() if file in files}
        self._broken = broken
        self._tell("; ".join(broken.values()))
        if broken:
            self._renew()

    def _run(self) -> None:
        while not self._over.wait(SYNC_SECONDS):
            self.round()

    def _known_as_broken(self, files: list[Path]) -> dict[Path, str]:
        """Return those of the files that failed before, in an earlier life of this process too."""
        if self._broken is not None:
            return {file: why for file, why in self._broken.items() if file in files}
        before = problem(self._folder)
        return {} if before is None else dict.fromkeys(files[:1], before)

    def _sync(self, file: Path) -> None:
        found = file.stat()
        state = (found.st_size, found.st_mtime_ns)
        if self._synced.get(file) != state:
            with file.open("rb") as opened:
                os.fdatasync(opened.fileno())
            self._synced[file] = state

    def _tell(self, now: str) -> None:
        """Log what has changed, and keep it in a file for `quickthaw doctor`."""
        if now == self._told:
            return
        before, self._told = self._told, now
        with contextlib.suppress(OSError):  # the log has it in any case
            if now:
                (self._folder / _PROBLEM_FILE).write_text(now)
            else:
                (self._folder / _PROBLEM_FILE).unlink(missing_ok=True)
        if now:
            _log.error("the disk does not take what Valkey writes: a power cut would lose it", cause=now)
        elif before:
            _log.warning("the disk has all that Valkey holds again")

    def _renew(self) -> None:
        now = time.monotonic()
        if now < self._rewrite_at:
            return
        self._rewrite_at = now + REWRITE_SECONDS
        try:
            self._rewrite()
        except RedisError as error:
            _log.warning("Valkey does not begin to write its file anew", error=str(error))


def problem(folder: Path) -> str | None:
    """Return why the disk does not take what the Valkey of a folder writes; None where it does, as far as is known."""
    try:
        return (folder / _PROBLEM_FILE).read_text() or None
    except OSError:
        return None
