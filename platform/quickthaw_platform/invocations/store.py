"""Invocations: every change of one goes through here, and is one Lua script."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError
from redis import Redis

from quickthaw.resources import FailedMove, InvocationLife, LifeStep
from quickthaw.types import Event, EventType, InvocationInfo, InvocationState, Limits, Usage
from quickthaw_platform.errors import (
    Conflict,
    InvocationCancelled,
    InvocationNotFound,
    LogGap,
    PoisonInvocation,
    QueueFull,
    QuickthawError,
    StartTooLate,
)
from quickthaw_platform.findings import told
from quickthaw_platform.invocations.held import too_much_held
from quickthaw_platform.invocations.log import EventLog, inv_key
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.invocations.records import (
    INFO_FIELDS,
    NO_START,
    Accepted,
    Admission,
    Append,
    Assignment,
    Chunk,
    ColdStart,
    Ending,
    Finished,
    History,
    Lost,
    NewInvocation,
    Offer,
    Stopped,
    Waits,
    compact,
    parse_info,
    read_json,
)
from quickthaw_platform.invocations.scripts import Scripts
from quickthaw_platform.invocations.served import written
from quickthaw_platform.invocations.tails import Tails
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.settings import Settings
from quickthaw_platform.stored_records import RecordUnreadable, readable

QUEUE_FULL_RETRY_SECONDS = 2.0
POLL_SECONDS = 5.0
NOTHING = History()

MAX_TOGETHER = 2000
"""Arguments of a script that makes several appends: a longer one would have all others wait for milliseconds."""
NOT_OFFERED = {
    "not resumable": "its function was deployed with resumable=False",
    "moving": "it is being moved already",
    "gone": "there is no such instance of its version",
    "there": "it runs on that node",
    "draining": "that instance takes nothing new",
    "full": "that instance has no free slot",
}


class InvocationStore:
    """The records, logs and queues of all invocations. Safe to share between threads and greenlets.

    Every method raises Unavailable when Redis is away; each may then be called again, what was done is not done twice.
    """

    def __init__(
        self,
        redis: Redis,
        settings: Settings,
        tails: Tails | None = None,
        read: Callable[[str], Any] = read_json,
    ) -> None:
        """`tails` are those of a process that follows other streams too; None: it has its own.

        `read` returns an event's JSON as a value: a process that does much at once gives way meanwhile.
        """
        self._redis = redis
        self._settings = settings
        self._scripts = Scripts(redis)
        self._read_json = read
        self._log = EventLog(redis, settings.outage_patience, tails, read)

    def admit(self, new: NewInvocation) -> Admission:
        """Accept a call: lease it a slot when one is free and nothing waits before it, else queue it.

        Raises QueueFull, Conflict for an idempotency key that came with another request before, and RateLimited or
        RequestTooLarge where its API key would hold more of the store than it may.
        """
        spec, limits = new.version.spec, new.limits or new.version.spec.limits
        key = RedisKey.IDEMPOTENCY.of(new.key_id or "", spec.name, new.idempotency_key) if new.idempotency_key else ""
        outcome, detail, *familiar = self._scripts.run(
            "admit", new.id, new.version.id, spec.queue_size, limits.start, limits.total, key,
            new.request_digest() if key else "", spec.name, new.key_id or "", new.key_weight, written(new.beginnings),
            self._may_hold(new), *self._record(new, limits),
        )  # fmt: skip
        if outcome == "full":
            raise QueueFull(
                f"{detail} invocations of {spec.name!r} are waiting, as many as it allows; try again later, or deploy "
                "it with a larger queue_size or max_instances",
                retry_after_seconds=QUEUE_FULL_RETRY_SECONDS,
            )
        if outcome == "too much":
            raise too_much_held(self._may_hold(new), int(detail), *map(float, filter(None, familiar)))
        if outcome == "conflict":
            raise Conflict(f"the idempotency key {new.idempotency_key!r} came with another request before")
        if outcome == "assigned":
            return Admission(assignment=Assignment.parse(detail), familiar=familiar == [1])
        return Admission(position=int(detail)) if outcome == "queued" else Admission(duplicate_of=detail)

    def get(self, identity: str) -> InvocationInfo:
        """Return an invocation as it stands; InvocationNotFound, RecordUnreadable."""
        answer = self._scripts.run("get", identity, *INFO_FIELDS)
        if answer is None:
            raise _unknown(identity)
        values, position, waits, last = answer
        reason, estimate = waits or (None, None)
        estimate_seconds = None if estimate is None else float(estimate)
        try:
            return parse_info(identity, values, Waits(position, reason, estimate_seconds), last, self._read_json)
        except ValueError as error:
            why = told(error) if isinstance(error, ValidationError) else str(error)
            raise RecordUnreadable.of(f"invocation {identity}", why) from error

    def request(self, identity: str) -> dict[str, Any]:
        """Return what its instance is given; InvocationNotFound, also when it has ended: then that is forgotten."""
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
        return self.begin_reading(identity, epoch, node, instance, ())[0]

    def begin_reading(
        self, identity: str, epoch: int, node: str, instance: str, fields: Sequence[str]
    ) -> tuple[int, float, Sequence[str | None]]:
        """Do as `begin`, and return after its answer Redis' time (Unix seconds) and what the record's fields hold."""
        next_seq, *read = self._scripts.run("begin", identity, epoch, node, instance, *fields)
        now, values = read or (0.0, [])
        return int(next_seq), float(now), values

    def append(self, identity: str, epoch: int, seq: int, chunks: Sequence[Chunk]) -> bool:
        """Write outputs with the seqs `seq`, `seq + 1`, …; False: the writer is not the owner (now) and must stop.

        What is already in the log is skipped. Raises LogGap when events or records before these are missing.
        """
        (done,) = self.append_each([Append(identity, epoch, seq, chunks)])
        if isinstance(done, LogGap):
            raise done
        return bool(done)

    def append_each(self, appends: Sequence[Append]) -> list[bool | Finished | LogGap]:
        """Make several appends with one round trip; the answers in their order, a LogGap where `append` raises one.

        They are one change in Redis where they are not many. One that ends its invocation is answered as by `finish`.
        """
        calls = _together([append.arguments() for append in appends])
        answers = itertools.chain.from_iterable(self._scripts.run_each("append", calls))
        return [_appended(append, answer) for append, answer in zip(appends, answers, strict=True)]

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
            raise _gap(f"the terminal event {seq} of {identity}", *detail)
        if outcome == "unknown":
            raise _unknown(identity)
        return Finished(outcome in ("done", "again"), _next(detail))

    def lose(
        self,
        identity: str,
        epoch: int,
        reason: str,
        error: QuickthawError,
        *,
        ran: bool = True,
        with_instance: bool = False,
    ) -> Lost:
        """Settle an invocation whose owner is gone: queue it again (showing `reason`), or end it.

        It goes on where its log ends; one that may not be run again (resumable=False) and was begun fails with `error`,
        and one that was lost `max_attempts` times in a row, with nothing new in between, with PoisonInvocation. A loss
        does not count where it never `ran` at its owner, and so cannot have ended that. Lost `with_instance`, it can
        not come back to that one: the instance drains in the same change.
        """
        most = self._settings.max_attempts
        poison = PoisonInvocation(
            f"what ran the invocation was lost {most} times in a row, with nothing new in between ({reason}); "
            "if it is the call that kills its process, change the call"
        )
        endings = (Ending(error=cause.to_json()) for cause in (error, poison))
        texts = (text for ending in endings for text in (ending.event(), ending.fields()[1]))
        return Lost(self._scripts.run("lose", identity, epoch, reason, most, *texts, int(ran), int(with_instance)))

    def history(self, identity: str, after: History = NOTHING) -> History:
        """Return what the invocation has put out and recorded since `after`."""
        log, records, _ = self._scripts.run("recorded", identity, after.seq, after.position)
        return History.parse(log, records, after.seq, after.position)

    def check_movable(self, identity: str) -> None:
        """Raise Conflict where an invocation could not be offered to any instance as it stands."""
        with outage_is_unavailable():
            resumable = self._redis.hget(inv_key(identity), "resumable")
            moving = self._redis.zscore(RedisKey.MOVES, identity) is not None
        if resumable == "0" or moving:
            why = NOT_OFFERED["not resumable" if resumable == "0" else "moving"]
            raise Conflict(f"invocation {identity} cannot move: {why}")

    def offer(self, identity: str, instance: str, patience_seconds: float) -> Offer:
        """Reserve a slot of another instance for a running invocation, which that instance's node is to take over.

        Conflict says what forbids it; InvocationNotFound.
        """
        outcome, *detail = self._scripts.run("offer", identity, instance, patience_seconds)
        if outcome == "unknown":
            raise _unknown(identity)
        if outcome != "offered":
            raise Conflict(
                f"invocation {identity} cannot move to instance {instance}: {NOT_OFFERED.get(outcome, outcome)}"
            )
        return Offer(identity, int(detail[0]), instance, detail[1])

    def accept(self, offer: Offer, known: History) -> Accepted | None:
        """Make the offered instance the invocation's owner; None: it has ended, or is not offered any more.

        `known` is the history that the caller has. May be repeated.
        """
        outcome, *detail = self._scripts.run(
            "accept", offer.invocation, offer.epoch, offer.instance, known.seq, known.position
        )
        if outcome != "done":
            return None
        next_seq, log, records, left, silent = detail
        history = History.parse(log, records, known.seq, known.position)
        return Accepted(int(next_seq), history, left, float(silent) if silent else None)

    def decline(self, offer: Offer, reason: str) -> None:
        """Give the reserved slot back, and keep why. What is not offered (any more) is ignored."""
        self._scripts.run("decline", offer.invocation, offer.epoch, reason)

    def end_late_moves(self) -> list[str]:
        """End the offers that nobody took up in time; returns the invocations, which go on where they are.

        One whose owner was lost meanwhile has nobody: it is queued again.
        """
        return list(self._scripts.run("moves", "the node that it was to move to did not take it up"))

    def cancel(self, identity: str, reason: str, *, forget_key: bool = False) -> Stopped:
        """End an invocation as cancelled, whoever owns it; idempotent. InvocationNotFound.

        `forget_key`: the same call with its idempotency key is a new one from now on.
        """
        ending = Ending(error=InvocationCancelled(reason).to_json())
        answer = self._scripts.run("cancel", identity, "forget" if forget_key else "", ending.event(), *ending.fields())
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

    def life(self, identity: str) -> InvocationLife:
        """Return where an invocation was, when, and how long its followers saw nothing; InvocationNotFound."""
        info = self.get(identity)
        (moves, gaps, failed), statuses = self._scripts.run("life", identity, "moves", "gaps", "failed_moves")
        return InvocationLife(
            invocation=info,
            steps=tuple(step for step in map(_step, map(self._read_json, statuses)) if step is not None),
            moves=int(moves or 0),
            failed_moves=tuple(
                readable(
                    FailedMove, ((f"a move of {identity}", json.dumps(move)) for move in json.loads(failed or "[]"))
                )
            ),
            gaps={
                int(epoch): float(seconds) for epoch, _, seconds in (gap.partition("=") for gap in (gaps or "").split())
            },
        )

    def server(self) -> str:
        """Return what tells one process of Redis from the next: a new one may have lost the last writes."""
        with outage_is_unavailable():
            return str(self._redis.info("server")["run_id"])

    def claim(self, instance: str) -> list[Assignment]:
        """Lease the free slots of a loaded or ready instance to what waits, in order of arrival."""
        return [Assignment.parse(fields) for fields in self._scripts.run("claim", instance)]

    def read(self, identity: str, after: int, block_seconds: float) -> list[Event]:
        """Return the events above `after`; see EventLog.read."""
        return self._log.read(identity, after, block_seconds)

    def follow(self, identity: str, after: int = 0, poll_seconds: float = POLL_SECONDS) -> Iterator[Event | None]:
        """Yield the events above `after` to the last, None at each silence; see EventLog.follow."""
        return self._log.follow(identity, after, poll_seconds)

    def follow_each(
        self, identity: str, after: int = 0, poll_seconds: float = POLL_SECONDS
    ) -> Iterator[Sequence[Event]]:
        """Yield together the events that came together, none at each silence; see EventLog.follow_each."""
        return self._log.follow_each(identity, after, poll_seconds)

    def _may_hold(self, new: NewInvocation) -> int:
        return self._settings.key_store if new.may_hold_bytes is None else new.may_hold_bytes

    def _record(self, new: NewInvocation, limits: Limits) -> list[str | int]:
        """Return names and values of what the record holds from the start."""
        spec = new.version.spec
        kept_seconds = self._settings.invocation_ttl if new.keep_seconds is None else new.keep_seconds
        if new.idempotency_key:  # a repeated call must find what the first one did
            kept_seconds = max(kept_seconds, self._settings.idempotency_ttl)
        fields: dict[str, str | int] = {
            "request": compact(new.request),
            "limits": limits.model_dump_json(),
            "resumable": int(spec.resumable),
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


_STEP_FIELDS = ("at", "state", "node", "instance", "reason", "moved_from", "epoch")


def _step(event: Mapping[str, Any]) -> LifeStep | None:
    if event["type"] != EventType.STATUS:
        return None  # an output of a handler that looks like one
    known = {name: event[name] for name in _STEP_FIELDS if name in event}
    return LifeStep(**known)


def parse_stopped(answer: Sequence[Any]) -> Stopped:
    """Read what `cancel.lua` and `expire.lua` answer."""
    if answer[0] != "done":
        return Stopped(done=False)
    _, following, node, instance = answer
    return Stopped(True, node, instance, _next([following]))


def _together(appends: Sequence[Sequence[str | int]]) -> list[list[str | int]]:
    """Return the arguments of as many scripts as the appends take, each with its length before it."""
    calls: list[list[str | int]] = []
    for arguments in appends:
        if not calls or len(calls[-1]) + len(arguments) >= MAX_TOGETHER:
            calls.append([])
        calls[-1] += [len(arguments), *arguments]
    return calls


def _appended(append: Append, answer: Any) -> bool | Finished | LogGap:
    if not isinstance(answer, list):
        return bool(answer)
    if answer[0] == "ended":
        return Finished(True, _next(answer[1:]))
    return _gap(f"event {append.seq} and record {append.record} of {append.invocation}", *answer)


def _gap(what: str, last_seq: int, last_record: int) -> LogGap:
    message = f"{what} came after event {last_seq} and record {last_record}"
    return LogGap(message, last_seq=last_seq, last_record=last_record)


def _next(detail: Sequence[Any]) -> Assignment | None:
    return Assignment.parse(detail[0]) if detail and detail[0] else None


def _unknown(identity: str) -> InvocationNotFound:
    return InvocationNotFound(f"no invocation has the id {identity!r}, or its record has expired")
