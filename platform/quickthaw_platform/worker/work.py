"""Taking up an invocation: from its assignment to all that its instance needs."""

from __future__ import annotations

import json
from typing import cast

from redis import Redis

from quickthaw.types import Limits
from quickthaw_platform.invocations.log import inv_key
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.invocations.store import NOTHING, InvocationStore
from quickthaw_platform.worker.flight import Work

_FIELDS = ("function", "request", "limits", "created_at", "attempts", "resumable")


class Intake:
    """Reads and begins invocations for one node. Every method may be repeated after it raised Unavailable."""

    def __init__(self, redis: Redis, store: InvocationStore, node: str) -> None:
        self._redis = redis
        self._store = store
        self._node = node

    def begin(self, invocation: str, epoch: int, instance: str) -> Work | None:
        """Move an invocation to running and return the work; None when it is not this node's (any more)."""
        with outage_is_unavailable(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(inv_key(invocation), _FIELDS)
            pipe.time()
            values, (seconds, micros) = pipe.execute()
        function, request, limits, created_at, attempts, resumable = cast("list[str | None]", values)
        next_seq = self._store.begin(invocation, epoch, self._node, instance)
        if not next_seq or function is None or request is None or limits is None or created_at is None:
            return None
        again = int(attempts or 1) > 1 and resumable != "0"
        return Work(
            invocation=invocation,
            epoch=epoch,
            instance=instance,
            function=function,
            next_seq=next_seq,
            request=json.loads(request),
            limits=Limits.model_validate_json(limits),
            age_seconds=max(0.0, seconds + micros / 1e6 - float(created_at)),
            created_at=float(created_at),
            history=self._store.history(invocation) if again else NOTHING,
        )
