"""Deliver webhooks that are due. What is due stands in Redis, so a delivery outlives every process that tries it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import cast

import httpx
import structlog
from redis import Redis

from quickthaw_platform.errors import InvocationNotFound, QuickthawError
from quickthaw_platform.gateway.webhooks import INVOCATION_HEADER, SIGNATURE_HEADER, retry_seconds, signature
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.outbound.addresses import AddressRefused, host_of
from quickthaw_platform.outbound.posting import post
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.settings import Settings

WEBHOOKS_KEY = RedisKey.WEBHOOKS
ATTEMPTS_KEY = RedisKey.WEBHOOKS_ATTEMPTS
CLAIM_SECONDS = 60.0
"""A delivery that its process did not live to settle is tried again after so long."""

DEADLINE_SECONDS = 15.0
"""For a delivery as a whole, however slowly its receiver reads or answers."""

AT_ONCE = 8
AT_ONCE_OF_A_KEY = 4
AT_ONCE_TO_A_HOST = 2
CROWDED_SECONDS = 1.0
"""When a delivery is due again that found the share of its API key or of its receiver taken."""

_CLAIM = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now), 'LIMIT', 0, ARGV[1])
for _, id in ipairs(due) do redis.call('ZADD', KEYS[1], string.format('%.6f', now + tonumber(ARGV[2])), id) end
return due
"""
_LATER = """
local time = redis.call('TIME')
local due = tonumber(time[1]) + tonumber(time[2]) / 1e6 + tonumber(ARGV[2])
return redis.call('ZADD', KEYS[1], 'XX', string.format('%.6f', due), ARGV[1])
"""

_log = structlog.get_logger()


class WebhookDelivery:
    """Claims what is due and posts it, a few at a time in threads of its own.

    A slow receiver holds up nobody else: a delivery has a deadline, and neither an API key nor a receiver gets all of
    the threads.
    """

    def __init__(self, redis: Redis, store: InvocationStore, settings: Settings) -> None:
        self._redis = redis
        self._store = store
        self._attempts = settings.webhook_attempts
        self._allowed = settings.webhook_allow
        self._claim = redis.register_script(_CLAIM)
        self._later = redis.register_script(_LATER)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")
        self._free = BoundedSemaphore(AT_ONCE)
        self._of_keys = Shares(AT_ONCE_OF_A_KEY)
        self._to_hosts = Shares(AT_ONCE_TO_A_HOST)

    def start_due(self) -> int:
        """Begin as many due deliveries as there is room for; returns how many. Does not wait for them."""
        room = 0
        while room < AT_ONCE and self._free.acquire(blocking=False):
            room += 1
        due: list[str] = []
        try:
            with outage_is_unavailable():
                due = cast("list[str]", self._claim(keys=[WEBHOOKS_KEY], args=[room, CLAIM_SECONDS])) if room else []
        finally:
            for _ in range(room - len(due)):
                self._free.release()
        for invocation in due:
            self._pool.submit(self._run, invocation)
        return len(due)

    def close(self) -> None:
        """Wait for the deliveries under way."""
        self._pool.shutdown()

    def deliver(self, invocation: str) -> None:
        """Post one, and note that it is done or when it is due again."""
        try:
            hook = self._store.webhook(invocation)
            key = self._store.key_id(invocation) or ""
            body = self._store.get(invocation).model_dump_json().encode()
        except InvocationNotFound:  # its record has expired
            hook, key, body = None, "", b""
        if hook is None:
            self._forget(invocation)
            return
        with self._of_keys.one(key) as of_key, self._to_hosts.one(_host(str(hook["url"]))) as to_host:
            if not (of_key and to_host):
                self._put_off(invocation, CROWDED_SECONDS)
                return
            problem = self._post(invocation, hook, body)
        if problem is None:
            self._forget(invocation)
        else:
            self._try_again(invocation, problem)

    def _run(self, invocation: str) -> None:
        try:
            self.deliver(invocation)
        except QuickthawError as error:  # the claim runs out, and it is tried again
            _log.warning("webhook not settled", invocation=invocation, error=error.message)
        finally:
            self._free.release()

    def _post(self, invocation: str, hook: dict[str, str | None], body: bytes) -> str | None:
        """Return what went wrong; None when the receiver has taken it."""
        headers = {"content-type": "application/json", INVOCATION_HEADER: invocation, "user-agent": "quickthaw-webhook"}
        if hook.get("secret"):
            headers[SIGNATURE_HEADER] = signature(str(hook["secret"]), int(time.time()), body)
        url = str(hook["url"])
        try:
            status = post(url, body, headers, allowed=self._allowed, deadline_seconds=DEADLINE_SECONDS)
        except (AddressRefused, httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            return f"{type(error).__name__}: {error}"
        except TimeoutError:
            return f"not taken within {DEADLINE_SECONDS:g} seconds"
        return None if 200 <= status < 300 else f"status {status}"

    def _try_again(self, invocation: str, problem: str) -> None:
        attempt = self._redis_call(lambda: int(self._redis.hincrby(ATTEMPTS_KEY, invocation, 1)))
        if attempt >= self._attempts:
            _log.error("webhook given up", invocation=invocation, attempts=attempt, problem=problem)
            self._forget(invocation)
            return
        seconds = retry_seconds(attempt)
        _log.warning("webhook failed", invocation=invocation, attempt=attempt, again_in=seconds, problem=problem)
        self._put_off(invocation, seconds)

    def _put_off(self, invocation: str, seconds: float) -> None:
        self._redis_call(lambda: int(self._later(keys=[WEBHOOKS_KEY], args=[invocation, seconds])))

    def _forget(self, invocation: str) -> None:
        self._redis_call(lambda: int(self._redis.zrem(WEBHOOKS_KEY, invocation)))
        self._redis_call(lambda: int(self._redis.hdel(ATTEMPTS_KEY, invocation)))

    def _redis_call(self, call: Callable[[], int]) -> int:
        with outage_is_unavailable():
            return call()


class Shares:
    """How many of each name are under way at most. For several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()
        self._lock = Lock()

    @contextmanager
    def one(self, name: str) -> Iterator[bool]:
        """Hold one of the name's places; False: all are taken."""
        with self._lock:
            free = self._taken[name] < self._most
            self._taken[name] += free
        try:
            yield free
        finally:
            with self._lock:
                self._taken[name] -= free
                self._taken += Counter()  # forgets names of which none is under way


def _host(url: str) -> str:
    try:
        return host_of(url)
    except ValueError:
        return ""
