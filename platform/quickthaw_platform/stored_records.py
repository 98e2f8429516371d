"""Records in Redis that another release may have written: what this one does not take is refused by name, and alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from quickthaw_platform.errors import Conflict
from quickthaw_platform.findings import told

Record = TypeVar("Record", bound=BaseModel)

_log = structlog.get_logger()


class RecordUnreadable(Conflict):
    """A record is stored in a form that this release does not take; the message names its fields."""

    default_code = "record_unreadable"

    @classmethod
    def of(cls, called: str, why: str) -> RecordUnreadable:
        """Make the error for a record that is `called` so."""
        return cls(
            f"{called} was stored by another release of quickthaw, and this one does not take it: {why}; "
            "make it again with this release, or run the other one"
        )


def parsed(kind: type[Record], body: str, called: str) -> Record:
    """Return the record that `body` holds; RecordUnreadable says what is wrong with it and what it is `called`."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise RecordUnreadable.of(called, told(error)) from error


def readable(kind: type[Record], bodies: Iterable[tuple[str, str | None]]) -> Sequence[Record]:
    """Return the records of these names that there are. What cannot be read is logged and left out: others work."""
    found = []
    for called, body in bodies:
        try:
            found += [] if body is None else [parsed(kind, body, called)]
        except RecordUnreadable as error:
            tell_once(error.message)
    return found


@lru_cache(maxsize=1000)
def tell_once(why: str) -> None:
    """Log that a record is left out; once, however often it is met."""
    _log.warning("a record is left out", why=why)
