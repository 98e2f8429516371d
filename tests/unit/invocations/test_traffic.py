"""What is noted of a function's calls, for keep-alive and allocation."""

from __future__ import annotations

from typing import cast

import pytest
from redis import Redis

from quickthaw_platform.errors import QueueFull, StartFailed
from quickthaw_platform.invocations.queues import Queues
from quickthaw_platform.invocations.store import InvocationStore
from tests.state import make_invocation, make_version

VERSION = make_version(concurrency=1)
LIVE, GAPS, CALLS, IDLE = (f"qt:function.{what}:f" for what in ("live", "gaps", "calls", "idle_since"))
DAYS_30_SECONDS = 30 * 86_400


def gaps(redis: Redis) -> list[float]:
    return [float(gap) for gap in cast("list[str]", redis.lrange(GAPS, 0, -1))]


def test_a_call_is_live_until_it_ends_whatever_its_version(redis: Redis, store: InvocationStore) -> None:
    store.admit(make_invocation(VERSION, "a"))
    store.admit(make_invocation(make_version("v2"), "b"))
    assert redis.smembers(LIVE) == {"a", "b"}
    store.cancel("a", "enough")
    assert redis.smembers(LIVE) == {"b"}
    assert not redis.exists(IDLE)
    store.cancel("b", "enough")
    assert not redis.exists(LIVE)
    seconds, micros = redis.time()
    assert float(cast("str", redis.get(IDLE))) == pytest.approx(seconds + micros / 1e6, abs=5)


def test_each_time_without_a_call_is_a_gap_the_latest_first(redis: Redis, store: InvocationStore) -> None:
    store.admit(make_invocation(VERSION, "a"))
    assert gaps(redis) == []  # nothing was called before: there is no gap
    for number, silence in enumerate((100, 20)):
        store.cancel(f"{'ab'[number]}", "enough")
        redis.incrbyfloat(IDLE, -silence)
        store.admit(make_invocation(VERSION, "bc"[number]))
    assert not redis.exists(IDLE)
    assert gaps(redis) == [pytest.approx(20, abs=5), pytest.approx(100, abs=5)]


def test_a_call_while_another_runs_ends_no_gap(redis: Redis, store: InvocationStore) -> None:
    for identity in ("a", "b"):
        store.admit(make_invocation(VERSION, identity))
    assert not redis.exists(GAPS)


def test_no_more_is_kept_than_said(redis: Redis, store: InvocationStore) -> None:
    for number in range(20):
        store.admit(make_invocation(VERSION, f"i{number}"))
    calls = [float(at) for at in cast("list[str]", redis.lrange(CALLS, 0, -1))]
    assert len(calls) == 16
    assert calls == sorted(calls, reverse=True)
    redis.rpush(GAPS, *range(200))
    Queues(redis).fail_waiting("v1", StartFailed("no"))
    store.admit(make_invocation(VERSION, "again"))
    assert len(gaps(redis)) == 200
    assert gaps(redis)[0] < 5


def test_all_of_it_goes_after_30_days_without_a_call(redis: Redis, store: InvocationStore) -> None:
    for identity in ("a", "b"):
        store.admit(make_invocation(VERSION, identity))
        store.cancel(identity, "enough")
    for key in (GAPS, CALLS, IDLE):
        assert DAYS_30_SECONDS - 10 < redis.ttl(key) <= DAYS_30_SECONDS


def test_a_refused_or_repeated_call_is_none(redis: Redis, store: InvocationStore) -> None:
    version = make_version(queue_size=1)
    new = make_invocation(version, "a")
    for _ in range(2):
        store.admit(new)
    with pytest.raises(QueueFull):
        store.admit(make_invocation(version, "b"))
    assert redis.smembers(LIVE) == {"a"}
    assert redis.llen(CALLS) == 1
