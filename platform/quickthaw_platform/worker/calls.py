"""The calls of a node: what got a slot of an instance here comes by a list in Redis, and is begun at once."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from redis import Redis

from quickthaw.types import InvocationState
from quickthaw_platform import redis_client
from quickthaw_platform.errors import Unavailable
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.settings import Settings
from quickthaw_platform.stored_records import RecordUnreadable
from quickthaw_platform.worker.flight import Work
from quickthaw_platform.worker.work import Intake

WAIT_SECONDS = 10.0
"""For one call, at most: less than the client waits for any answer."""

PAUSE_SECONDS = 0.2
"""Between two looks while Redis is out."""

NO_CALL = "null"
"""Stands in the list for no call: whoever waits there looks up."""

_log = structlog.get_logger()
_T = TypeVar("_T")


class Calls:
    """A thread that takes up one call after the other.

    The very change that gives a call its slot puts the call on the list of the slot's node (`call` in
    invocations/prelude.lua), so nobody sends it, and no death of a gateway or controller keeps it from its node. What
    this thread took and could not begin before its own process died is put there again by the controller's rounds.
    """

    def __init__(
        self,
        redis: Redis,
        settings: Settings,
        *,
        on_work: Callable[[Work], None],
        persist: Callable[[Callable[[], _T]], _T],
    ) -> None:
        """`on_work` is called from the thread; `persist` makes a change in Redis, again and again while that is out."""
        self._redis = redis
        self._own = redis_client.for_one_thread(redis)
        self._store = InvocationStore(self._own, settings)
        self._intake = Intake(self._own, self._store, settings.node)
        self._list = RedisKey.NODE_CALLS.of(settings.node)
        self._on_work = on_work
        self._persist: Callable[..., Any] = persist
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="agent-calls", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Take up nothing more, and end the thread."""
        self._closing = True
        with contextlib.suppress(Unavailable), outage_is_unavailable():
            self._redis.rpush(self._list, NO_CALL)
        self._thread.join(WAIT_SECONDS)

    def _run(self) -> None:
        while not self._closing:
            try:
                self._take_up()
            except Unavailable:
                time.sleep(PAUSE_SECONDS)
            except Exception:  # noqa: BLE001 - one call that cannot be begun must not keep all others from it
                _log.exception("a call could not be taken up")

    def _take_up(self) -> None:
        with outage_is_unavailable():
            came: Any = self._own.blpop([self._list], WAIT_SECONDS)
        call = None if came is None else json.loads(came[1])
        if call is not None:
            invocation, epoch, instance = call
            self._begin(invocation, int(epoch), instance)

    def _begin(self, invocation: str, epoch: int, instance: str) -> None:
        """Begin a call, here or nowhere: once it runs nobody else is told of it."""
        try:
            work = self._persist(lambda: self._intake.begin(invocation, epoch, instance))
        except RecordUnreadable as unreadable:
            error = unreadable.to_json()
            self._persist(lambda: self._store.finish(invocation, epoch, InvocationState.FAILED, error=error))
            return
        if work is not None:
            self._on_work(work)
