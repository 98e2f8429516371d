"""What the processes of `quickthaw up` have logged as errors: why one that is waited for may not be there yet."""

from __future__ import annotations

import json
from pathlib import Path

from quickthaw_platform.commands.log_follower import LogFollower

MOST_CHARACTERS = 400
_ERRORS = ("error", "critical")


class Complaints:
    """The last error that each process has logged since this was made."""

    def __init__(self, log_dir: Path) -> None:
        self._last: dict[str, str] = {}
        self._follower = LogFollower(log_dir, self._note)

    def read(self) -> list[str]:
        """Return them, each with the name of its process."""
        self._follower.poll()
        return [f"{name} says: {text}" for name, text in sorted(self._last.items())]

    def _note(self, name: str, line: str) -> None:
        if (text := error_in(line)) is not None:
            self._last[name] = text


def error_in(line: str) -> str | None:
    """Return the message of a log's line, a JSON object, that tells of an error; None for every other line."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or entry.get("level") not in _ERRORS:
        return None
    cause = entry.get("error") or entry.get("cause")
    said = " ".join(str(text) for text in (entry.get("message"), cause and f"({cause})") if text)
    return " ".join(said.split())[:MOST_CHARACTERS]
