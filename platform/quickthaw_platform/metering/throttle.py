"""Says of a warning or an error that comes again and again how often it came, instead of writing it each time."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

SHOWN = 5
"""So many alike are written in a period."""

PERIOD_SECONDS = 60.0
KINDS = 1024
"""So many kinds are told apart; the one that began first is forgotten."""

_VARYING = frozenset({"timestamp", "exception", "stack", "level", "process"})


@dataclass(slots=True)
class _Kind:
    began: float
    count: int = 0


class Throttle(logging.Filter):
    """Lets five alike through in a minute; the first of the next minute says how many were left out.

    Alike are records of one logger with the same text (before its arguments are put in), the same exception, and the
    same bound names, such as the invocation: a warning about each of a thousand calls is a thousand warnings.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: OrderedDict[tuple[object, ...], _Kind] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if record.levelno < logging.WARNING:
            return True
        now = self._clock()
        kind = self._kind(_key(record), now)
        if now - kind.began >= PERIOD_SECONDS:
            _tell(record, kind.count - SHOWN)
            kind.began, kind.count = now, 0
        kind.count += 1
        return kind.count <= SHOWN

    def _kind(self, key: tuple[object, ...], now: float) -> _Kind:
        kind = self._kinds.setdefault(key, _Kind(now))
        if len(self._kinds) > KINDS:
            self._kinds.popitem(last=False)
        return kind


def _key(record: logging.LogRecord) -> tuple[object, ...]:
    error = record.exc_info[0] if record.exc_info else None
    if not isinstance(record.msg, dict):
        return record.name, record.levelno, str(record.msg), error
    bound = tuple(
        (name, value) for name, value in record.msg.items() if isinstance(value, str) and name not in _VARYING
    )
    last_line = str(record.msg.get("exception", "")).rstrip().rpartition("\n")[2]
    return record.name, record.levelno, last_line, error, *bound


def _tell(record: logging.LogRecord, left_out: int) -> None:
    if left_out <= 0:
        return
    if isinstance(record.msg, dict):
        record.msg = {**record.msg, "left_out": left_out}
    else:
        record.msg = f"{record.msg} ({left_out} more like this were left out)"
