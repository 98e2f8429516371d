"""Usage added up as it is asked for. Pure."""

from __future__ import annotations

import enum
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from quickthaw.errors import InvalidRequest
from quickthaw.resources import UsageRow
from quickthaw_platform.metering.usage.device_meter import NOBODY, Tokens
from quickthaw_platform.metering.usage.records import UsageRecord

NO_PHASE = ""
"""Where rows are told apart by phase, what belongs to none: tokens, requests, bytes fetched."""


class By(enum.StrEnum):
    """What rows can be told apart by."""

    FUNCTION = "function"
    VERSION = "version"
    BACKEND = "backend"
    NODE = "node"
    DEVICE = "device"
    KEY = "key"
    PHASE = "phase"


def parse_by(names: Iterable[str]) -> tuple[By, ...]:
    """Read what rows are to be told apart by; InvalidRequest names the known ones."""
    asked = tuple(dict.fromkeys(names))
    unknown = [name for name in asked if name not in set(By)]
    if unknown:
        raise InvalidRequest(f"rows cannot be told apart by {unknown[0]!r}; known: {', '.join(By)}", param="by")
    return tuple(map(By, asked))


@dataclass(slots=True)
class _Sum:
    seconds: float = 0.0
    memory_byte_seconds: float = 0.0
    tokens: Tokens = field(default_factory=Tokens)
    requests: int = 0
    fetched: Counter[str] = field(default_factory=Counter)


class Totals:
    """Adds records up, one row for each of what they are told apart by."""

    def __init__(self, by: Sequence[By]) -> None:
        self._by = by
        self._sums: defaultdict[tuple[str, ...], _Sum] = defaultdict(_Sum)

    def add(self, record: UsageRecord) -> None:
        """Add a record."""
        for (phase, key), seconds in record.seconds.items():
            found = self._sum(record, phase, key)
            found.seconds += seconds
            found.memory_byte_seconds += seconds * record.subject.memory_bytes
        for key, tokens in record.tokens.items():
            found = self._sum(record, NO_PHASE, key)
            found.tokens += tokens
        for key, requests in record.requests.items():
            self._sum(record, NO_PHASE, key).requests += requests
        if record.fetched_bytes:
            self._sum(record, NO_PHASE, NOBODY).fetched.update(record.fetched_bytes)

    def rows(self) -> list[UsageRow]:
        """Return the rows, in order of what they are told apart by."""
        return [
            UsageRow(
                **{by.value: name for by, name in zip(self._by, names, strict=True)},
                seconds=found.seconds,
                memory_byte_seconds=found.memory_byte_seconds,
                tokens_in=found.tokens.read,
                tokens_out=found.tokens.generated,
                tokens_cached=found.tokens.cached,
                tokens_saved=found.tokens.saved,
                requests=found.requests,
                fetched_bytes=dict(found.fetched),
            )
            for names, found in sorted(self._sums.items(), key=lambda item: item[0])
        ]

    def _sum(self, record: UsageRecord, phase: str, key: str) -> _Sum:
        names: Mapping[str, object] = {**record.subject._asdict(), By.PHASE: phase, By.KEY: key}
        return self._sums[tuple(str(names[by]) for by in self._by)]
