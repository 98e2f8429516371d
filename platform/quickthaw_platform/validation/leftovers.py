"""Functions that a validation has made for its time. Each is noted on the disk before it is made.

The note is locked while its process lives, so a note that can be locked is of a killed one: the next validation takes
its function away.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from quickthaw.client import Client
from quickthaw.errors import NotFound, QuickthawError


@contextmanager
def noted(client: Client, name: str, folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Note a function that is about to be made, and delete it at the end, however the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / f"{name}.function"
    with note.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump({"url": client.endpoint.url, "function": name}, file)
        file.flush()
        try:
            yield
        finally:
            _delete(client, name, note, say)


def clean_up(client: Client, folder: Path, say: Callable[[str], None]) -> None:
    """Take away the functions that killed validations have left at this gateway."""
    for note in sorted(folder.glob("*.function")):
        with suppress(FileNotFoundError), note.open("r+") as file:
            if _is_free(file.fileno()) and (name := _named(file.read(), client.endpoint.url)):
                say(f"removing the function {name}, which a killed validation left")
                _delete(client, name, note, say)


def _is_free(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _named(text: str, url: str) -> str | None:
    """Return the function of a note; None where it is of another gateway, or was cut short before one was made."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return str(found["function"]) if found["url"] == url else None


def _delete(client: Client, name: str, note: Path, say: Callable[[str], None]) -> None:
    try:
        with suppress(NotFound):  # it was noted, and never made
            client.delete_function(name)
        note.unlink(missing_ok=True)
    except QuickthawError as error:
        say(f"the function {name} was not removed: {error.message} The next validation tries again")
