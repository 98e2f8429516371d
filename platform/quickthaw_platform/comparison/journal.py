"""Which aliases a running comparison has deployed, so that the next one takes away what a killed one left behind.

One comparison at a time measures on a machine: two would measure each other.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from quickthaw.errors import Conflict

LOCK_FILE = "compare.lock"
JOURNAL_FILE = "compare.json"


@dataclass(frozen=True, slots=True)
class Deployed:
    """An alias that a comparison has made."""

    url: str  # of the gateway
    function: str
    alias: str


class Journal:
    """What is deployed now. Each change is on the disk before it is made at the gateway."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / JOURNAL_FILE

    def deployed(self) -> list[Deployed]:
        """Return what is deployed; after a kill, what was left."""
        if not self._file.exists():
            return []
        try:
            return [Deployed(**entry) for entry in json.loads(self._file.read_text())]
        except (ValueError, TypeError) as error:
            raise Conflict(
                f"{self._file} is not what a comparison writes ({error}); see with `quickthaw alias ls FUNCTION` "
                "whether aliases called compare-… are left, remove them with `quickthaw alias rm`, and delete the file"
            ) from error

    def add(self, entry: Deployed) -> None:
        """Note an alias that is about to be made."""
        self._write([*self.deployed(), entry])

    def remove(self, entry: Deployed) -> None:
        """Forget an alias that is gone."""
        self._write([other for other in self.deployed() if other != entry])

    def _write(self, entries: list[Deployed]) -> None:
        text = json.dumps([asdict(entry) for entry in entries])
        partial = self._file.with_suffix(".partial")
        partial.write_text(text)
        partial.replace(self._file)


@contextmanager
def only_one(folder: Path) -> Iterator[Journal]:
    """Hold the right to compare on this machine; Conflict, naming the process, where another has it.

    The kernel takes the right back when the process ends, however it does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise Conflict(
                f"another comparison is measuring on this machine (process {holder}); the two would measure each "
                "other: wait for its end"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield Journal(folder)
