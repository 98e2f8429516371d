"""A trace in columns, and what is odd about it."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quickthaw_platform.errors import SettingsInvalid
from quickthaw_platform.traffic.columns import Floats, Ints
from quickthaw_platform.traffic.traces.files import digest


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Requests in order of time, the first at 0 (seconds). `notes` say what was odd about the file."""

    times: Floats
    tokens_in: Ints
    tokens_out: Ints
    digest: str = ""  # SHA-256 of the file, in hexadecimal
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.times)

    @property
    def span(self) -> float:
        """Seconds after which the trace may be played again: up to the last request, and one mean gap more."""
        return float(self.times[-1]) * len(self) / max(1, len(self) - 1)

    @property
    def rate(self) -> float | None:
        """Mean requests per second; None where all come at once."""
        return len(self) / self.span if self.span > 0 else None


class Rows:
    """Collects the rows of a file in arrays of numbers: 24 bytes a row."""

    def __init__(self) -> None:
        self._times, self._tokens_in, self._tokens_out = array("d"), array("q"), array("q")

    def add(self, time: float, tokens_in: int, tokens_out: int) -> None:
        """Take one row; ValueError says what is wrong with it."""
        if not 0 <= time < float("inf"):
            raise ValueError(f"the time {time!r} must be a number that is not negative")
        if tokens_in < 0 or tokens_out < 0:
            raise ValueError(f"{min(tokens_in, tokens_out)} tokens: a number of tokens is not negative")
        self._times.append(time)
        self._tokens_in.append(tokens_in)
        self._tokens_out.append(tokens_out)

    def trace(self, path: Path) -> Trace:
        """Return all rows, sorted; SettingsInvalid where there is none."""
        if not self._times:
            raise SettingsInvalid(f"the trace {path} has no request in it")
        times = np.frombuffer(self._times)
        steps = np.diff(times)
        notes = _notes(times, steps)
        columns = (np.frombuffer(self._tokens_in, np.int64), np.frombuffer(self._tokens_out, np.int64))
        if (steps < 0).any():
            order = np.argsort(times, kind="stable")
            times, columns = times[order], (columns[0][order], columns[1][order])
        return Trace(times - times[0], *columns, digest(path), notes)


Reader = Callable[[Path, Rows], None]


def _notes(times: Floats, steps: Floats) -> tuple[str, ...]:
    notes = []
    if back := int((steps < 0).sum()):
        notes.append(f"{back} of {len(times)} rows of the trace were out of order; it was sorted by time")
    if same := int((steps == 0).sum()):
        notes.append(
            f"{same} of {len(times)} rows of the trace have the time of the row before; they are sent together"
        )
    if len(times) > 1 and (times == np.floor(times)).all():
        notes.append("the times of the trace are whole seconds; what happened within one is not known")
    return tuple(notes)
