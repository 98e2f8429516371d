"""Shows the log files of the supervised processes while they grow."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


class LogFollower:
    """Hands on each new line of `*.log` in a folder, with the process' name. Lines from before are not shown."""

    def __init__(self, directory: Path, show: Callable[[str, str], None]) -> None:
        self._directory = directory
        self._show = show
        self._places = {path: path.stat().st_size for path in directory.glob("*.log")}

    def poll(self) -> None:
        """Show what came since last time; a line still being written waits for its end."""
        for path in sorted(self._directory.glob("*.log")):
            place = self._places.get(path, 0)
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < place:  # set aside and begun anew
                    place = 0
                file.seek(place)
                whole, newline, _rest = file.read().rpartition(b"\n")
            self._places[path] = place + len(whole) + len(newline)
            for line in whole.decode(errors="replace").splitlines():
                self._show(path.stem, line)


def last_lines(path: Path, count: int) -> str:
    """Return the end of a log file, for an error message."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return "\n".join(lines[-count:])
