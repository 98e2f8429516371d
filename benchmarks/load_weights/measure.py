"""One measurement: a fresh process that loads a checkpoint once, its file in the state that the case names."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.load_weights.cases import Case
from benchmarks.load_weights.files import Files
from benchmarks.processes import Conversation
from quickthaw_platform.checkpoints.reading.residency import resident_bytes

CHILD = "benchmarks.load_weights.child"
COLD_SHARE = 0.001
WARM_SHARE = 0.9999
WARM_PASSES = 3
READ_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one process told. `peak_bytes`: by how much its memory grew, at most."""

    seconds: float
    peak_bytes: float

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Parse a child's answer. Raises ValueError where it is not one."""
        try:
            found = cls(float(answer["seconds"]), float(answer["peak_bytes"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a measurement: {answer!r}") from error
        if found.seconds <= 0:
            raise ValueError(f"a load that takes no time: {answer!r}")
        return found


def run(case: Case, files: Files, log: Path, env: Mapping[str, str]) -> Measurement:
    """Run one case in a process of its own."""
    arguments = [case.way, str(files.folder), json.dumps(case.options)]
    path: Path = getattr(files, case.file)
    if case.state == "second":
        make_warm(path)  # before the first instance maps it
    with Conversation([sys.executable, "-m", CHILD, *arguments], log, env) as child:
        child.ask({})  # it is ready
        if case.state == "cold":
            make_cold(path)
        elif case.state == "warm":
            make_warm(path)
        return Measurement.of(child.ask({}))


def make_cold(path: Path) -> None:
    """Drop a file from the page cache. Raises RuntimeError if it stays, as it does while a process maps it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)
    if resident_share(path) > COLD_SHARE:
        raise RuntimeError(f"{path} stays in the page cache: {resident_share(path):.1%} of it; does a process map it?")


def make_warm(path: Path) -> None:
    """Have all of a file in the page cache, newly read in order: how it came there decides how fast it is mapped.

    Raises RuntimeError if there is no room for it.
    """
    make_cold(path)
    for _ in range(WARM_PASSES):
        read_through(path)  # once is not enough where older pages make room only slowly
        if resident_share(path) >= WARM_SHARE:
            return
    raise RuntimeError(f"only {resident_share(path):.1%} of {path} stay in the page cache: memory is short")


def read_through(path: Path) -> None:
    """Read a file in order, and forget it."""
    buffer = bytearray(READ_BYTES)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def resident_share(path: Path) -> float:
    """Return how much of a file is in the page cache, from 0 to 1."""
    return resident_bytes(path) / path.stat().st_size
