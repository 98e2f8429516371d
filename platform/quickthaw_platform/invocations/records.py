"""What goes into and comes out of the stores: frozen records, and one function that parses each."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from quickthaw.types import Event, EventType, InvocationInfo, InvocationState, Limits, Usage, Version


@dataclass(frozen=True, slots=True)
class NewInvocation:
    """A call that wants to be accepted."""

    id: str
    version: Version
    request: Mapping[str, Any]  # {"input": …, "sampling": …, "chat": … (if any), "seed": …}
    key_id: str | None = None  # the API key it came with
    key_weight: float = 1.0  # its share of the queue where keys compete, > 0
    idempotency_key: str | None = None
    webhook: Mapping[str, Any] | None = None
    limits: Limits | None = None  # None: those of the version
    beginnings: tuple[str, ...] = ()  # of its prompt, longest first; see gateway.beginnings
    keep_seconds: float | None = None  # how long it is kept when it has ended; None: invocation_ttl
    may_hold_bytes: int | None = None  # of the store, by its API key with this call; None: the setting key_store
    digest: str | None = None  # of what the caller sent; None: of `request` without the seed, which is drawn per call

    def request_digest(self) -> str:
        """Return what tells two requests with one idempotency key apart."""
        if self.digest is not None:
            return self.digest
        sent = {name: value for name, value in self.request.items() if name != "seed"}
        return hashlib.sha256(json.dumps(sent, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Assignment:
    """An invocation has a slot of an instance, and its node was told. That may happen twice; `begin` sorts it out.

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
    """What became of an accepted call: exactly one of the first three fields is set."""

    assignment: Assignment | None = None
    position: int | None = None  # in the queue, from 1
    duplicate_of: str | None = None  # the invocation that the same call made before
    familiar: bool = False  # the instance was chosen because it was given a beginning of the prompt last


@dataclass(frozen=True, slots=True)
class Finished:
    """`done`: the invocation ended by this call (or an earlier try of the same call). `next` got its slot."""

    done: bool
    next: Assignment | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """An invocation that was ended from outside: where it ran, if anywhere, so that its node can be told to stop it.

    `done` is False when it had ended before. `next` got its slot.
    """

    done: bool
    node: str | None = None
    instance: str | None = None
    next: Assignment | None = None


class Lost(enum.StrEnum):
    """What became of an invocation whose owner was lost."""

    REQUEUED = "requeued"  # it waits again, in its old place, and goes on where its log ends
    MOVED = "moved"  # whoever was about to take it over owns it now
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


compact = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
"""Returns a value as JSON, as it is stored."""


def event_json(kind: EventType, data: Mapping[str, Any]) -> str:
    """Return an event as the log holds it."""
    return compact({"type": kind.value, **data})


_DECODER = json.JSONDecoder()
_KINDS = {kind.value: kind for kind in EventType}


def read_json(body: str) -> Any:
    """Return a value that was written by `compact`."""
    return _DECODER.raw_decode(body)[0]


def parse_event(entry_id: str, body: str, read: Callable[[str], Any] = read_json) -> Event:
    """Read an entry of the log."""
    data = read(body)
    kind = _KINDS[data.pop("type")]
    return Event(seq=int(entry_id.partition("-")[0]), type=kind, data=data)


_CHUNK_BEGINNING = f'{{"type":"{EventType.CHUNK.value}",'
"""Of an event of the log; its data, without their opening brace, are the rest."""


class Chunk(NamedTuple):
    """One output of an invocation. `mark` says which model output it is, if it is one (see worker.replay)."""

    body: str  # its data as JSON, written once on its way: an object with a field at least
    mark: str = ""

    @classmethod
    def of(cls, data: Mapping[str, Any], mark: str = "") -> Chunk:
        """Return the output with these data."""
        return cls(compact(data), mark)


class Record(NamedTuple):
    """Model output that is in no chunk: which it is, and itself as JSON."""

    mark: str
    delta: str

    @classmethod
    def of(cls, mark: str, delta: Mapping[str, Any]) -> Record:
        """Return the record of a delta."""
        return cls(mark, compact(delta))


@dataclass(frozen=True, slots=True)
class Append:
    """Outputs of an invocation's owner, to be written with the seqs `seq`, `seq + 1`, …, and model output that is in no
    chunk, to be kept beside the log from position `record` on.
    """

    invocation: str
    epoch: int
    seq: int
    chunks: Sequence[Chunk] = ()
    record: int = 1
    records: Sequence[Record] = ()
    ends: tuple[InvocationState, Ending] | None = None  # how the invocation ends with it, if it does

    def arguments(self) -> list[str | int]:
        """Return what `append.lua` takes of it."""
        chunks = [part for chunk in self.chunks for part in (_CHUNK_BEGINNING + chunk.body[1:], chunk.mark)]
        records = [f"[{compact(record.mark)},{record.delta}]" for record in self.records]
        ending = [""] if self.ends is None else _ending_arguments(*self.ends)
        return [self.invocation, self.epoch, self.seq, self.record, len(self.chunks), *chunks, *ending, *records]


def _ending_arguments(state: InvocationState, ending: Ending) -> list[str | int]:
    fields = ending.fields()
    return [state.value, ending.event(), len(fields), *fields]


@dataclass(frozen=True, slots=True)
class History:
    """What an invocation has put out and recorded, from some position on: what a later owner runs it again with."""

    outputs: tuple[Mapping[str, Any], ...] = ()  # chunk bodies
    records: tuple[tuple[str, Mapping[str, Any]], ...] = ()  # (mark, delta) of model output, in chunks or beside them
    seq: int = 0  # of the last event
    position: int = 0  # of the last record beside the log

    @property
    def tokens(self) -> int:
        """How many tokens the model has generated in it."""
        return sum(len(delta["tokens"]) for _, delta in self.records)

    def __add__(self, since: History) -> History:
        """Return this and what came since as one."""
        return History(self.outputs + since.outputs, self.records + since.records, since.seq, since.position)

    @classmethod
    def parse(cls, log: Sequence[Any], records: Sequence[Any], seq: int, position: int) -> History:
        """Read entries of the log and of what is beside it, both after the given positions."""
        events = [(fields, json.loads(fields["e"])) for _, fields in map(_entry, log)]
        chunks = [(fields, event) for fields, event in events if event["type"] == EventType.CHUNK]
        beside = [json.loads(fields["r"]) for _, fields in map(_entry, records)]
        marked = [(fields["m"], event["delta"]) for fields, event in chunks if "m" in fields]
        return cls(
            outputs=tuple({k: v for k, v in event.items() if k != "type"} for _, event in chunks),
            records=tuple(sorted((*marked, *((mark, delta) for mark, delta in beside)), key=_generation_and_index)),
            seq=_number(log[-1][0]) if log else seq,
            position=_number(records[-1][0]) if records else position,
        )


def _entry(entry: Sequence[Any]) -> tuple[str, dict[str, str]]:
    """Read a stream's entry as a script answers it: its id, and names and values in a row."""
    identity, flat = entry
    return identity, dict(zip(flat[::2], flat[1::2], strict=True))


def _number(entry_id: str) -> int:
    return int(entry_id.partition("-")[0])


def _generation_and_index(record: tuple[str, Any]) -> tuple[int, int]:
    generation, index, _ = record[0].split(".")
    return int(generation), int(index)


@dataclass(frozen=True, slots=True)
class Offer:
    """An invocation that an instance may take over: with the epoch that it would have there."""

    invocation: str
    epoch: int
    instance: str
    node: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """An invocation that was taken over: `history` is what came since, `left` the node where it ran."""

    next_seq: int
    history: History
    left: str
    silent_seconds: float | None = None  # since its last output; None: it has had none


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


def parse_info(
    identity: str,
    values: Sequence[str | None],
    waits: Waits,
    last: str | None,
    read: Callable[[str], Any] = read_json,
) -> InvocationInfo:
    """Read an invocation's record; `last` is its terminal event, which alone holds the result."""
    stored = {name: value for name, value in zip(INFO_FIELDS, values, strict=True) if value is not None}
    fields: dict[str, Any] = {name: stored[name] for name in _TEXTS if name in stored}
    fields |= {name: float(stored[name]) for name in _NUMBERS if name in stored}
    fields |= {name: int(stored[name]) for name in _COUNTS}
    fields |= {name: json.loads(stored[name]) for name in _JSONS if name in stored}
    fields |= {"position": waits.position, "estimate_seconds": waits.estimate_seconds}
    fields["reason"] = fields.get("reason") or waits.reason
    ending = read(last) if last else {}
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
        usage = self.usage.model_dump(exclude_none=True) if self.usage else None
        return event_json(EventType.RESULT, {"value": self.result, "usage": usage})

    def fields(self) -> list[str]:
        """Return names and values for the record."""
        kept: dict[str, object] = {}
        if self.error is not None:
            kept["error"] = dict(self.error)
        if self.usage is not None:
            kept["usage"] = self.usage.model_dump(exclude_none=True)
        if self.start.stages:
            kept["stages"] = dict(self.start.stages)
        texts = [("tier", self.start.tier)] if self.start.tier is not None else []
        return [part for pair in (*((name, compact(value)) for name, value in kept.items()), *texts) for part in pair]
