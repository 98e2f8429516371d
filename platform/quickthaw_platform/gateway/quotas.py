"""Quotas of an API key: requests in exact moving windows, tokens in fixed minutes that begin with the first one.

Tokens are known only when an invocation has ended. Each admitted one is noted under its key; at the key's next call
(and at the end of a call that somebody waits for) those that have ended are charged, each once, whichever gateway or
node ended them. So a key can overdraw its minute by what runs at one time, and then waits for the next minute.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import cast

from limits import RateLimitItem, RateLimitItemPerMinute, parse_many
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter
from redis import Redis

from quickthaw.resources import KeyInfo
from quickthaw.types import Usage
from quickthaw_platform.errors import RateLimited
from quickthaw_platform.redis_keys import RedisKey

OPEN_SECONDS = 86_400
"""How long an uncharged invocation is remembered after the last call of its key."""


class QuotaKeeper:
    """Counts what keys use; a key without quotas costs nothing here."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        storage = RedisStorage("redis://", connection_pool=redis.connection_pool, key_prefix=RedisKey.QUOTA)
        self._requests = MovingWindowRateLimiter(storage)
        self._tokens = FixedWindowRateLimiter(storage)

    def take(self, key: KeyInfo) -> dict[str, str]:
        """Count one request of `key`; returns the `x-ratelimit-*` headers. RateLimited when a quota is used up."""
        return self._take_tokens(key) | self._take_request(key)

    def note(self, key: KeyInfo, invocation: str) -> None:
        """Remember an admitted invocation whose tokens are to be charged."""
        if key.quotas.tokens_per_minute is not None:
            pipe = self._redis.pipeline()
            pipe.sadd(_open_key(key), invocation)
            pipe.expire(_open_key(key), OPEN_SECONDS)
            pipe.execute()

    def settle(self, key: KeyInfo) -> None:
        """Charge the tokens of those invocations of `key` that have ended since the last time."""
        if key.quotas.tokens_per_minute is None:
            return
        spent = sum(self._charge(key, invocation) for invocation in self._open(key))
        if spent:
            self._tokens.hit(_per_minute(key), "tokens", key.id, cost=spent)

    def _take_request(self, key: KeyInfo) -> dict[str, str]:
        if key.quotas.requests is None:
            return {}
        rates = list(dict.fromkeys(parse_many(key.quotas.requests)))  # one that is named twice is counted once
        for rate in rates:
            if not self._requests.test(rate, "requests", key.id):
                self._refuse(key, rate)
        for rate in rates:
            if not self._requests.hit(rate, "requests", key.id):  # another took the last one meanwhile
                self._refuse(key, rate)
        rate = min(rates, key=lambda r: self._requests.get_window_stats(r, "requests", key.id).remaining)
        return self._request_headers(key, rate)

    def _refuse(self, key: KeyInfo, rate: RateLimitItem) -> None:
        seconds = _until(self._requests.get_window_stats(rate, "requests", key.id).reset_time)
        message = f"the API key {key.name!r} has used up its {rate}; it is free again in {math.ceil(seconds)} s"
        raise Limited(message, seconds, self._request_headers(key, rate))

    def _request_headers(self, key: KeyInfo, rate: RateLimitItem) -> dict[str, str]:
        stats = self._requests.get_window_stats(rate, "requests", key.id)
        return _headers("requests", rate.amount, stats.remaining, _until(stats.reset_time))

    def _take_tokens(self, key: KeyInfo) -> dict[str, str]:
        if key.quotas.tokens_per_minute is None:
            return {}
        self.settle(key)
        rate = _per_minute(key)
        stats = self._tokens.get_window_stats(rate, "tokens", key.id)
        seconds = _until(stats.reset_time) if stats.remaining < rate.amount else 0.0
        headers = _headers("tokens", rate.amount, max(0, stats.remaining), seconds)
        if stats.remaining <= 0:
            message = (
                f"the API key {key.name!r} has used up its {rate.amount} tokens per minute; "
                f"it is free again in {math.ceil(seconds)} s"
            )
            raise Limited(message, seconds, headers)
        return headers

    def _open(self, key: KeyInfo) -> list[str]:
        """Return the noted invocations that have ended, or are forgotten."""
        noted = sorted(cast("set[str]", self._redis.smembers(_open_key(key))))
        pipe = self._redis.pipeline(transaction=False)
        for invocation in noted:
            pipe.hmget(RedisKey.INVOCATION.of(invocation), "state", "ended_at")
        states = pipe.execute()
        return [i for i, (state, ended_at) in zip(noted, states, strict=True) if state is None or ended_at is not None]

    def _charge(self, key: KeyInfo, invocation: str) -> int:
        """Return what an ended invocation used, to the one caller that takes it off the list; 0 to all others."""
        usage = cast("str | None", self._redis.hget(RedisKey.INVOCATION.of(invocation), "usage"))
        if not self._redis.srem(_open_key(key), invocation) or not usage:
            return 0
        found = Usage.model_validate_json(usage)
        return found.prompt_tokens + found.completion_tokens


class Limited(RateLimited):
    """RateLimited with the `x-ratelimit-*` headers that belong to it."""

    def __init__(self, message: str, seconds: float, headers: Mapping[str, str]) -> None:
        super().__init__(message, retry_after_seconds=seconds)
        self.headers = dict(headers)


def duration(seconds: float) -> str:
    """Write a duration as OpenAI's headers do: 450ms, 7s, 6m0s, 2h0m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _headers(what: str, limit: int, remaining: int, reset_seconds: float) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": str(limit),
        f"x-ratelimit-remaining-{what}": str(remaining),
        f"x-ratelimit-reset-{what}": duration(reset_seconds),
    }


def _per_minute(key: KeyInfo) -> RateLimitItem:
    return RateLimitItemPerMinute(key.quotas.tokens_per_minute or 0)


def _until(reset_time: float) -> float:
    return max(0.0, reset_time - time.time())


def _open_key(key: KeyInfo) -> str:
    return RedisKey.KEY_OPEN.of(key.id)
