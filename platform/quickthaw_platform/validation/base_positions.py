"""What the base of a comparison said at each position, on the disk: a line of JSON for each window."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from quickthaw_platform.validation.asking import Position


class BasePositions:
    """The base's positions by the number of their window; used within `with`. Not for several threads."""

    def __init__(self, path: Path) -> None:
        """`path` is written anew."""
        self._file = path.open("w+b")
        self._places: dict[int, int] = {}

    def __enter__(self) -> BasePositions:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def keep(self, window: int, positions: Sequence[Position]) -> None:
        """Write a window's positions."""
        self._places[window] = self._file.seek(0, 2)
        told = [[position.logprob, dict(position.top)] for position in positions]
        self._file.write(json.dumps(told).encode() + b"\n")

    def of(self, window: int) -> list[Position]:
        """Read a window's positions; KeyError where they were not kept."""
        self._file.seek(self._places[window])
        return [Position(logprob, top) for logprob, top in json.loads(self._file.readline())]
