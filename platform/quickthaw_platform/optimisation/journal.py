"""What a search has found out so far, on the disk: each answer that was paid for, and the candidates it belongs to.

A file of JSON lines: the first says what is optimised, each other one is an answer. A line that a kill has cut short
counts as none. One process at a time writes a folder.
"""

from __future__ import annotations

import fcntl
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel

from quickthaw_platform.errors import Conflict
from quickthaw_platform.optimisation.calling import Called

FILE = "journal.jsonl"


class Head(BaseModel):
    """What tells one search from another; a search is resumed only where all of it is the same."""

    task: str  # its digest
    function: str
    versions: tuple[str, ...]
    rewriter: str | None
    rewriter_versions: tuple[str, ...]
    optimiser: str
    seed: int


class Entry(BaseModel):
    """An answer: to a candidate's prompt for an example, or to a rewriting."""

    key: str
    candidate: str | None = None  # its key; None for a rewriting
    part: str = "dev"
    place: int = 0
    bound: int = 1  # most tokens that were expected of it
    called: Called


class Journal:
    """The answers of one search. Not for several threads."""

    def __init__(self, file: IO[str], nonce: str, entries: Mapping[str, Entry]) -> None:
        """`nonce` tells this search's calls from those of any other, for the platform's idempotency."""
        self._file = file
        self.nonce = nonce
        self.entries = dict(entries)

    def add(self, entry: Entry) -> None:
        """Note an answer; it is on the disk's way when this returns."""
        self.entries[entry.key] = entry
        self._file.write(entry.model_dump_json() + "\n")
        self._file.flush()


@contextmanager
def journal(folder: Path, head: Head, *, resume: bool) -> Iterator[Journal]:
    """Open a folder's journal. Raises Conflict where another process writes it, where there is one and `resume` is not
    asked for, and where it is of another search: the message names what has changed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    with path.open("a+") as file:
        _lock(file, folder)
        file.seek(0)
        lines = file.read().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        if whole and not resume:
            raise Conflict(f"{folder} holds a search already; --resume goes on with it, another --out begins a new one")
        if whole:
            first = json.loads(whole[0])
            _check_same(Head.model_validate(first["head"]), head, folder)
            nonce: str = first["nonce"]
            _cut(file, whole)
        else:
            nonce = uuid.uuid4().hex
            file.truncate(0)
            file.write(json.dumps({"nonce": nonce, "head": head.model_dump(mode="json")}) + "\n")
            file.flush()
        entries = [Entry.model_validate_json(line) for line in whole[1:]]
        yield Journal(file, nonce, {entry.key: entry for entry in entries})


def _lock(file: IO[str], folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise Conflict(
            f"another process is optimising into {folder}; wait for its end, or name another --out"
        ) from error


def _check_same(old: Head, new: Head, folder: Path) -> None:
    before: dict[str, Any] = old.model_dump()
    after: dict[str, Any] = new.model_dump()
    changed = [name for name in before if before[name] != after[name]]
    if changed:
        raise Conflict(
            f"{folder} holds another search: {', '.join(changed)} {'was' if len(changed) == 1 else 'were'} different "
            f"({changed[0]}: {before[changed[0]]!r}, now {after[changed[0]]!r}); begin anew with another --out"
        )


def _cut(file: IO[str], whole: list[str]) -> None:
    """Take away what stands behind the last whole line."""
    file.truncate(sum(len(line.encode()) for line in whole))
