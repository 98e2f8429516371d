"""What is kept of usage: one record for an instance and a period, or for all alike of an hour once that is rolled up.

A record holds all that was used in its period, so to write it again changes nothing.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from quickthaw_platform.metering.usage.device_meter import Share, Tokens

HOUR_SECONDS = 3600
_DIGITS = 9


class Subject(NamedTuple):
    """Whose usage it is, and on what."""

    function: str
    version: str
    backend: str
    node: str
    device: str
    memory_bytes: int  # what an instance of it reserves, and its checkpoint's bytes


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """What was used in the period that starts at `start` (Unix seconds, Redis' clock)."""

    subject: Subject
    start: float
    seconds: Mapping[tuple[str, str], float]  # by (phase, key)
    tokens: Mapping[str, Tokens] = field(default_factory=dict)  # by key
    requests: Mapping[str, int] = field(default_factory=dict)  # ended, by key
    fetched_bytes: Mapping[str, int] = field(default_factory=dict)  # by tier
    final: bool = True  # nothing more comes to it

    @classmethod
    def of(cls, subject: Subject, start: float, share: Share, *, final: bool) -> UsageRecord:
        """Take what a meter counted in one period, as it is now."""
        seconds = {name: round(value, _DIGITS) for name, value in share.all_seconds().items()}
        return cls(subject, start, seconds, dict(share.tokens), dict(share.requests), dict(share.fetched), final)

    @property
    def hour(self) -> int:
        """The number of the hour in which its period starts."""
        return math.floor(self.start / HOUR_SECONDS)

    def to_json(self) -> str:
        """Return the record as it is stored."""
        phases: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for (phase, key), seconds in self.seconds.items():
            phases[phase][key] = seconds
        body: dict[str, Any] = {
            **self.subject._asdict(),
            "start": self.start,
            "final": self.final,
            "seconds": phases,
            "tokens": {key: list(asdict(tokens).values()) for key, tokens in self.tokens.items()},
            "requests": self.requests,
            "fetched_bytes": self.fetched_bytes,
        }
        return json.dumps(body, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> UsageRecord:
        """Read a stored record."""
        body: dict[str, Any] = json.loads(text)
        return cls(
            subject=Subject(*(body[name] for name in Subject._fields)),
            start=body["start"],
            seconds={(phase, key): s for phase, keys in body["seconds"].items() for key, s in keys.items()},
            tokens={key: Tokens(*counts) for key, counts in body["tokens"].items()},
            requests=body["requests"],
            fetched_bytes=body["fetched_bytes"],
            final=body["final"],
        )


def merged(subject: Subject, start: float, records: Iterable[UsageRecord]) -> UsageRecord:
    """Add the records of one subject up to one that starts at `start`."""
    seconds: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    tokens: dict[str, Tokens] = {}
    requests: Counter[str] = Counter()
    fetched: Counter[str] = Counter()
    for record in records:
        for name, value in record.seconds.items():
            seconds[name].append(value)
        for key, counts in record.tokens.items():
            tokens[key] = tokens.get(key, Tokens()) + counts
        requests.update(record.requests)
        fetched.update(record.fetched_bytes)
    sums = {name: math.fsum(values) for name, values in seconds.items()}
    return UsageRecord(subject, start, sums, tokens, dict(requests), dict(fetched))
