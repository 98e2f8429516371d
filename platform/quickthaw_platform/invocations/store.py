"""Invocations: every change of one goes through here, and is one Lua script."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from redis import Redis

from quickthaw.types import Event, EventType, InvocationInfo, InvocationState, Limits, Usage
from quickthaw_platform.errors import (
    Conflict,
    InvocationCancelled,
    InvocationNotFound,
    LogGap,
    QueueFull,
    QuickthawError,
    StartTooLate,
)
from quickthaw_platform.invocations.log import EventLog, inv_key
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.invocations.records import (
    INFO_FIELDS,
    NO_START,
    Admission,
    Append,
    Assignment,
    ColdStart,
    Ending,
    Finished,
    Lost,
    NewInvocation,
    Stopped,
    Waits,
    compact,
    parse_info,
)
from quickthaw_platform.invocations.scripts import Scripts
from quickthaw_platform.settings import Settings

QUEUE_FULL_RETRY_SECONDS = 2.0
POLL_SECONDS = 5.0


class InvocationStore:
    """The records, logs and queues of all invocations. Safe to share between threads and greenlets.

    Every method raises Unavailable when Redis is away; each may then be called again, what was done is not done twice.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._scripts = Scripts(redis)
        self._log = EventLog(redis, settings.outage_patience)

    def admit(self, new: NewInvocation) -> Admission:
        """Accept a call: lease it a slot when one is free and nothing waits before it, else queue it.

        Raises QueueFull, and Conflict for an idempotency key that came with another request before.
        """
        spec, limits = new.version.spec, new.limits or new.version.spec.limits
        key = f"qt:idempotency:{new.key_id or ''}:{spec.name}:{new.idempotency_key}" if new.idempotency_key else ""
        outcome, detail = self._scripts.run(
            "admit", new.id, new.version.id, spec.queue_size, limits.start, limits.total, key,
            new.request_digest() if key else "", spec.name, new.key_id or "", new.key_weight,
            *self._record(new, limits),
        )  # fmt: skip
        if outcome == "full":
            raise QueueFull(
                f"{detail} invocations of {spec.name!r} are waiting, as many as it allows; try again later, or deploy "
                "it with a larger queue_size or max_instances",
                retry_after_seconds=QUEUE_FULL_RETRY_SECONDS,
            )
        if outcome == "conflict":
            raise Conflict(f"the idempotency key {new.idempotency_key!r} came with another request before")
        if outcome == "assigned":
            return Admission(assignment=Assignment.parse(detail))
        return Admission(position=int(detail)) if outcome == "queued" else Admission(duplicate_of=detail)

    def get(self, identity: str) -> InvocationInfo:
        """Return an invocation as it stands; InvocationNotFound."""
        answer = self._scripts.run("get", identity, *INFO_FIELDS)
        if answer is None:
            raise _unknown(identity)
        values, position, waits, last = answer
        reason, estimate = waits or (None, None)
        estimate_seconds = None if estimate is None else float(estimate)
        return parse_info(identity, values, Waits(position, reason, estimate_seconds), last)

    def request(self, identity: str) -> dict[str, Any]:
        """Return the stored request; InvocationNotFound."""
        return cast("dict[str, Any]", json.loads(self._field(identity, "request")))

    def limits(self, identity: str) -> Limits:
        """Return the limits that hold for this invocation; InvocationNotFound."""
        return Limits.model_validate_json(self._field(identity, "limits"))

    def key_id(self, identity: str) -> str | None:
        """Return the id of the API key that the call came with; InvocationNotFound."""
        return self._field(identity, "key") or None

    def webhook(self, identity: str) -> dict[str, Any] | None:
        """Return the webhook that is to hear of the end, if any; InvocationNotFound."""
        with outage_is_unavailable():
            known, body = cast("list[str | None]", self._redis.hmget(inv_key(identity), ["state", "webhook"]))
        if known is None:
            raise _unknown(identity)
        return json.loads(body) if body else None

    def begin(self, identity: str, epoch: int, node: str, instance: str) -> int:
        """Move assigned to running; returns the seq of the owner's first append, 0 when it is not its owner (now)."""
        return int(self._scripts.run("begin", identity, epoch, node, instance))

    def append(
        self, identity: str, epoch: int, seq: int, events: Sequence[tuple[EventType, Mapping[str, Any]]]
    ) -> bool:
        """Write events with the seqs `seq`, `seq + 1`, …; False: the writer is not the owner (now) and must stop.

        Events already in the log are skipped. Raises LogGap when events before `seq` are missing.
        """
        (done,) = self.append_each([Append(identity, epoch, seq, events)])
        if isinstance(done, LogGap):
            raise done
        return done

    def append_each(self, appends: Sequence[Append]) -> list[bool | LogGap]:
        """Make several appends with one round trip; the answers in their order, a LogGap where `append` raises one."""
        answers = self._scripts.run_each("append", [append.arguments() for append in appends])
        return [
            LogGap(f"event {append.seq} of {append.invocation} came after event {answer[0]}")
            if isinstance(answer, list)
            else bool(answer)
            for append, answer in zip(appends, answers, strict=True)
        ]

    def finish(
        self,
        identity: str,
        epoch: int | None,
        state: InvocationState,
        *,
        result: Any = None,
        usage: Usage | None = None,
        error: Mapping[str, Any] | None = None,
        start: ColdStart = NO_START,
        seq: int | None = None,
    ) -> Finished:
        """End an invocation: terminal event, record, lease, and the freed slot goes to the head of the queue.

        `epoch` None: whoever owns it; `seq` None: whatever is next. Raises LogGap when `seq` is not the next.
        """
        ending = Ending(result, usage, error, start)
        outcome, *detail = self._scripts.run(
            "finish", identity, "" if epoch is None else epoch, state.value, ending.event(),
            "" if seq is None else seq, *ending.fields(),
        )  # fmt: skip
        if outcome == "gap":
            raise LogGap(f"the terminal event {seq} of {identity} came after event {detail[0]}")
        if outcome == "unknown":
            raise _unknown(identity)
        return Finished(outcome in ("done", "again"), _next(detail))

    def requeue(self, identity: str, epoch: int, reason: str) -> bool:
        """Take an invocation from its owner and queue it again, in its old place, at the next epoch.

        False, and nothing happens, when the epoch is stale, it has ended, or has put something out (see `lose`).
        """
        return bool(self._scripts.run("requeue", identity, epoch, reason))

    def lose(self, identity: str, epoch: int, reason: str, error: QuickthawError) -> Lost:
        """Settle an invocation whose owner is gone: queue it again (showing `reason`), or fail it with `error`.

        It is tried again while it has put out nothing and was tried less than `max_attempts` times.
        """
        ending = Ending(error=error.to_json())
        outcome = self._scripts.run(
            "lose", identity, epoch, reason, self._settings.max_attempts, ending.event(), *ending.fields()
        )
        return Lost(outcome[0])

    def cancel(self, identity: str, reason: str) -> Stopped:
        """End an invocation as cancelled, whoever owns it; idempotent. InvocationNotFound."""
        ending = Ending(error=InvocationCancelled(reason).to_json())
        answer = self._scripts.run("cancel", identity, ending.event(), *ending.fields())
        if answer[0] == "unknown":
            raise _unknown(identity)
        return parse_stopped(answer)

    def refuse_late(self, identity: str, estimate_seconds: float, start_seconds: float) -> bool:
        """Fail an invocation with StartTooLate, if it still waits; returns whether it ended by this."""
        error = StartTooLate(
            f"an instance is expected to serve the invocation in {estimate_seconds:.1f} s, and it may wait "
            f"{start_seconds:g} s for that; try again later, or with a longer start limit",
            retry_after_seconds=max(1.0, estimate_seconds - start_seconds),
        )
        ending = Ending(error=error.to_json())
        return bool(self._scripts.run("refuse", identity, ending.event(), *ending.fields()))

    def claim(self, instance: str) -> list[Assignment]:
        """Lease the free slots of a loaded or ready instance to what waits, in order of arrival."""
        return [Assignment.parse(fields) for fields in self._scripts.run("claim", instance)]

    def read(self, identity: str, after: int, block_seconds: float) -> list[Event]:
        """Return the events above `after`; see EventLog.read."""
        return self._log.read(identity, after, block_seconds)

    def follow(self, identity: str, after: int = 0, poll_seconds: float = POLL_SECONDS) -> Iterator[Event | None]:
        """Yield the events above `after` to the last, None at each silence; see EventLog.follow."""
        return self._log.follow(identity, after, poll_seconds)

    def _record(self, new: NewInvocation, limits: Limits) -> list[str | int]:
        """Return names and values of what the record holds from the start."""
        kept_seconds = self._settings.invocation_ttl
        if new.idempotency_key:  # a repeated call must find what the first one did
            kept_seconds = max(kept_seconds, self._settings.idempotency_ttl)
        fields: dict[str, str | int] = {
            "request": compact(new.request),
            "limits": limits.model_dump_json(),
            "ttl": max(1, int(kept_seconds * 1000)),
        }
        if new.webhook is not None:
            fields["webhook"] = compact(new.webhook)
        return [part for pair in fields.items() for part in pair]

    def _field(self, identity: str, name: str) -> str:
        with outage_is_unavailable():
            value = cast("str | None", self._redis.hget(inv_key(identity), name))
        if value is None:
            raise _unknown(identity)
        return value


def parse_stopped(answer: Sequence[Any]) -> Stopped:
    """Read what `cancel.lua` and `expire.lua` answer."""
    if answer[0] != "done":
        return Stopped(done=False)
    _, following, node, instance = answer
    return Stopped(True, node, instance, _next([following]))


def _next(detail: Sequence[Any]) -> Assignment | None:
    return Assignment.parse(detail[0]) if detail and detail[0] else None


def _unknown(identity: str) -> InvocationNotFound:
    return InvocationNotFound(f"no invocation has the id {identity!r}, or its record has expired")
