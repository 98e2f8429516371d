"""Taking up an invocation: from its assignment to all that its instance needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from redis import Redis

from quickthaw.types import Limits
from quickthaw_platform.invocations.log import inv_key
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.invocations.records import Lease, Offer
from quickthaw_platform.invocations.store import NOTHING, InvocationStore
from quickthaw_platform.stored_records import RecordUnreadable, parsed
from quickthaw_platform.worker.flight import Work

_FIELDS = ("function", "request", "limits", "created_at", "attempts", "resumable", "last_output_at", "key")


class Intake:
    """Reads and begins invocations for one node. Every method may be repeated after it raised Unavailable."""

    def __init__(self, redis: Redis, store: InvocationStore, node: str) -> None:
        self._redis = redis
        self._store = store
        self._node = node

    def read(self, offer: Offer) -> Work | None:
        """Return an invocation that is offered to this node as the work that it would be here; None: it is gone.

        RecordUnreadable where another release has stored it otherwise.
        """
        with outage_is_unavailable(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(inv_key(offer.invocation), _FIELDS)
            pipe.time()
            values, (seconds, micros) = pipe.execute()
        return _work(Lease(offer.invocation, offer.epoch), offer.instance, values, seconds + micros / 1e6)

    def begin(self, invocation: str, epoch: int, instance: str) -> Work | None:
        """Move an invocation to running and return the work; None when it is not this node's (any more).

        RecordUnreadable where another release has stored it otherwise: it runs then, and is this node's to end.
        """
        next_seq, now, values = self._store.begin_reading(invocation, epoch, self._node, instance, _FIELDS)
        work = _work(Lease(invocation, epoch), instance, values, now) if next_seq else None
        if work is None:
            return None
        history = self._store.history(invocation) if work.again else NOTHING
        return replace(work, next_seq=next_seq, history=history)


def _work(lease: Lease, instance: str, values: Sequence[str | None], now: float) -> Work | None:
    """Return the work that the values of _FIELDS tell of, read at `now` (Redis' clock); None: it is gone."""
    function, request, limits, created_at, attempts, resumable, heard_at, key = values
    if function is None or request is None or limits is None or created_at is None:
        return None
    called = f"invocation {lease.invocation}"
    return Work(
        invocation=lease.invocation,
        epoch=lease.epoch,
        instance=instance,
        function=function,
        next_seq=0,
        request=_request(request, called),
        limits=parsed(Limits, limits, called),
        age_seconds=max(0.0, now - float(created_at)),
        created_at=float(created_at),
        again=int(attempts or 1) > 1 and resumable != "0",
        silent_seconds=None if heard_at is None else max(0.0, now - float(heard_at)),
        key=key or "",
        resumable=resumable != "0",
    )


def _request(body: str, called: str) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise RecordUnreadable.of(called, str(error)) from error
