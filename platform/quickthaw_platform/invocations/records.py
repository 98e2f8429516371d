"""What goes into and comes out of the stores: frozen records, and one function that parses each."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from quickthaw.types import Event, EventType, InvocationInfo, Limits, Usage, Version


@dataclass(frozen=True, slots=True)
class NewInvocation:
    """A call that wants to be accepted."""

    id: str
    version: Version
    request: Mapping[str, Any]  # {"input": …, "sampling": …, "seed": …}
    key_id: str | None = None  # the API key it came with
    key_weight: float = 1.0  # its share of the queue where keys compete, > 0
    idempotency_key: str | None = None
    webhook: Mapping[str, Any] | None = None
    limits: Limits | None = None  # None: those of the version
    digest: str | None = None  # of what the caller sent; None: of `request` without the seed, which is drawn per call

    def request_digest(self) -> str:
        """Return what tells two requests with one idempotency key apart."""
        if self.digest is not None:
            return self.digest
        sent = {name: value for name, value in self.request.items() if name != "seed"}
        return hashlib.sha256(json.dumps(sent, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Assignment:
    """An invocation has a slot of an instance: its node is to be told. May come more than once; `begin` sorts it out.

    `next_seq` is the seq of the owner's first append, as `begin` returns it too.
    """

    invocation: str
    epoch: int
    instance: str
    node: str
    next_seq: int

    @classmethod
    def parse(cls, fields: Sequence[Any]) -> Assignment:
        """Read what the scripts answer."""
        invocation, epoch, instance, node, next_seq = fields
        return cls(invocation, int(epoch), instance, node, int(next_seq))


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of an accepted call: exactly one of the three fields is set."""

    assignment: Assignment | None = None
    position: int | None = None  # in the queue, from 1
    duplicate_of: str | None = None  # the invocation that the same call made before


@dataclass(frozen=True, slots=True)
class Finished:
    """`done`: the invocation ended by this call (or an earlier try of the same call). `next` got its slot."""

    done: bool
    next: Assignment | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """An invocation that was ended from outside: where it ran, if anywhere, so that its node can be told to stop it.

    `done` is False when it had ended before. `next` got its slot and its node is to be told that too.
    """

    done: bool
    node: str | None = None
    instance: str | None = None
    next: Assignment | None = None


class Lost(enum.StrEnum):
    """What became of an invocation whose owner was lost."""

    REQUEUED = "requeued"  # it had put out nothing: it waits again, in its old place
    FAILED = "failed"
    STALE = "stale"  # it had ended or had another owner already


@dataclass(frozen=True, slots=True)
class Lease:
    """A slot of an instance, held by one invocation at one epoch."""

    invocation: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Overdue:
    """An invocation one of whose limits ran out."""

    invocation: str
    limits: Limits
    reason: str | None  # why it waited


def compact(value: object) -> str:
    """Return `value` as JSON, as it is stored."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def event_json(kind: EventType, data: Mapping[str, Any]) -> str:
    """Return an event as the log holds it."""
    return compact({"type": kind.value, **data})


def parse_event(entry_id: str, body: str) -> Event:
    """Read an entry of the log."""
    data = json.loads(body)
    kind = EventType(data.pop("type"))
    return Event(seq=int(entry_id.partition("-")[0]), type=kind, data=data)


@dataclass(frozen=True, slots=True)
class Append:
    """Events of an invocation's owner, to be written with the seqs `seq`, `seq + 1`, …"""

    invocation: str
    epoch: int
    seq: int
    events: Sequence[tuple[EventType, Mapping[str, Any]]]

    def arguments(self) -> list[str | int]:
        """Return what `append.lua` takes."""
        chunk = any(kind is EventType.CHUNK for kind, _ in self.events)
        bodies = (event_json(kind, data) for kind, data in self.events)
        return [self.invocation, self.epoch, self.seq, int(chunk), *bodies]


@dataclass(frozen=True, slots=True)
class Waits:
    """Where a queued invocation stands, and why it waits."""

    position: int | None = None
    reason: str | None = None
    estimate_seconds: float | None = None


_TEXTS = ("function", "version", "state", "node", "instance", "reason", "tier")
_NUMBERS = ("created_at", "assigned_at", "started_at", "first_output_at", "ended_at")
_COUNTS = ("epoch", "attempts")
_JSONS = ("error", "usage", "stages")
INFO_FIELDS = (*_TEXTS, *_NUMBERS, *_COUNTS, *_JSONS)
"""The fields of the record that `parse_info` reads, in its order."""


def parse_info(identity: str, values: Sequence[str | None], waits: Waits, last: str | None) -> InvocationInfo:
    """Read an invocation's record; `last` is its terminal event, which alone holds the result."""
    stored = {name: value for name, value in zip(INFO_FIELDS, values, strict=True) if value is not None}
    fields: dict[str, Any] = {name: stored[name] for name in _TEXTS if name in stored}
    fields |= {name: float(stored[name]) for name in _NUMBERS if name in stored}
    fields |= {name: int(stored[name]) for name in _COUNTS}
    fields |= {name: json.loads(stored[name]) for name in _JSONS if name in stored}
    fields |= {"position": waits.position, "estimate_seconds": waits.estimate_seconds}
    fields["reason"] = fields.get("reason") or waits.reason
    ending = json.loads(last) if last else {}
    return InvocationInfo(id=identity, result=ending.get("value"), **fields)


class ColdStart(NamedTuple):
    """The start that an invocation paid for: seconds by stage, and the tier that the weights came from."""

    stages: Mapping[str, float] = {}
    tier: str | None = None


NO_START = ColdStart()


@dataclass(frozen=True, slots=True)
class Ending:
    """How an invocation ends: its terminal event and what its record keeps of it."""

    result: Any = None
    usage: Usage | None = None
    error: Mapping[str, Any] | None = None
    start: ColdStart = NO_START

    def event(self) -> str:
        """Return the terminal event: ERROR when there is an error, else RESULT."""
        if self.error is not None:
            return event_json(EventType.ERROR, {"error": dict(self.error)})
        usage = self.usage.model_dump() if self.usage else None
        return event_json(EventType.RESULT, {"value": self.result, "usage": usage})

    def fields(self) -> list[str]:
        """Return names and values for the record."""
        kept: dict[str, object] = {}
        if self.error is not None:
            kept["error"] = dict(self.error)
        if self.usage is not None:
            kept["usage"] = self.usage.model_dump()
        if self.start.stages:
            kept["stages"] = dict(self.start.stages)
        texts = [("tier", self.start.tier)] if self.start.tier is not None else []
        return [part for pair in (*((name, compact(value)) for name, value in kept.items()), *texts) for part in pair]
