"""The continuations that a run has so far, on the disk, so that a stopped one goes on where it was."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from quickthaw_platform.errors import Conflict
from quickthaw_platform.validation.quality.passages import Passage


class Answers:
    """Continuations by the number of their passage; each is in the file before the next call is made."""

    def __init__(self, file: IO[str]) -> None:
        """`file` is open for reading and appending; a line that a kill has cut short counts as none."""
        self._file = file
        self.texts: dict[int, str] = {}
        self.seconds = 0.0
        file.seek(0)
        whole = [line for line in file.read().splitlines(keepends=True) if line.endswith("\n")]
        for line in whole[1:]:
            entry = json.loads(line)
            self.texts[entry["passage"]] = entry["text"]
            self.seconds = entry["seconds"]
        file.seek(0)
        file.truncate()
        file.writelines(whole)
        file.flush()

    def add(self, passage: int, text: str, seconds: float) -> None:
        """Note a continuation; `seconds` is how long all runs together have taken by now."""
        self.texts[passage] = text
        self._file.write(json.dumps({"passage": passage, "text": text, "seconds": round(seconds, 3)}) + "\n")
        self._file.flush()


def key_of(passages: Sequence[Passage], model: str, seed: int) -> str:
    """Return what tells one run from another: the model (with its version), the seed and every passage."""
    told = hashlib.sha256(json.dumps([model, seed]).encode())
    for passage in passages:
        told.update(json.dumps([passage.prompt, passage.reference]).encode())
    return told.hexdigest()


@contextmanager
def answers(folder: Path, key: str, *, resume: bool) -> Iterator[Answers]:
    """Open the answers of a run; with `resume` those of before are kept. Deleted when the block ends without an error.

    Raises Conflict where another process continues the same passages with the same model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"quality-{key[:32]}.jsonl"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(
                f"the same paragraphs are being continued by another process ({path}); wait for its result"
            ) from error
        if not resume or not _is_of(file, key):
            file.truncate(0)
            file.write(json.dumps({"key": key}) + "\n")
            file.flush()
        yield Answers(file)
        path.unlink(missing_ok=True)


def _is_of(file: IO[str], key: str) -> bool:
    file.seek(0)
    head = file.readline()
    return head.endswith("\n") and json.loads(head).get("key") == key
