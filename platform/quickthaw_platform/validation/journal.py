"""What a validation has scored so far, on the disk, so that a stopped one goes on where it was.

A file of JSON lines: the first says what is scored, each other one is a window's score. A line is written when its
window's answer is there; one that a kill has cut short counts as none. One process at a time writes a file.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from quickthaw_platform.errors import Conflict
from quickthaw_platform.validation.scores import WindowScore

FOLDER = "validations"


class Journal:
    """The scores of one plan by one model. Not for several threads."""

    def __init__(self, file: IO[str]) -> None:
        """`file` is open for reading and writing; what it holds already is read."""
        self._file = file
        self.scores: dict[int, WindowScore] = {}
        self.seconds = 0.0  # that earlier runs took for them
        file.seek(0)
        head, *entries = file.read().splitlines(keepends=True)
        whole = [line for line in entries if line.endswith("\n")]
        file.truncate(len("".join([head, *whole]).encode()))
        for entry in map(json.loads, whole):
            self.scores[entry["window"]] = WindowScore(entry["window"], entry["nll"], entry["tokens"])
            self.seconds = entry["seconds"]

    def add(self, score: WindowScore, seconds: float) -> None:
        """Note a score; `seconds` is how long all runs together have taken by now."""
        self.scores[score.window] = score
        entry = {"window": score.window, "nll": score.nll, "tokens": score.tokens, "seconds": round(seconds, 3)}
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()


@contextmanager
def journal(folder: Path, key: str, *, resume: bool) -> Iterator[Journal]:
    """Open the journal of what `key` names; with `resume` what was scored before is kept, else it is begun anew.

    It is deleted when the block ends without an error: the result is what remains. Raises Conflict where another
    process is scoring the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key[:32]}.jsonl"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(
                f"the same text is being scored with the same model and protocol by another process ({path}); wait for "
                "its result"
            ) from error
        if not resume or not _is_of(file, key):
            file.truncate(0)
            file.write(json.dumps({"key": key, "process": os.getpid()}) + "\n")
            file.flush()
        yield Journal(file)
        path.unlink(missing_ok=True)


def _is_of(file: IO[str], key: str) -> bool:
    file.seek(0)
    head = file.readline()
    return head.endswith("\n") and json.loads(head).get("key") == key
