from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest
from redis import Redis

from quickthaw_platform.averages import Average
from quickthaw_platform.contracts import FunctionStats, Way
from quickthaw_platform.router.learnt import MAX_SECONDS, SERVICE, TTL_SECONDS, LearntStore, init_field, learnt_key
from quickthaw_platform.router.learnt import parse as parse_learnt
from tests.valkey_process import ValkeyProcess


def stored(redis: Redis, function: str = "f") -> dict[str, str]:
    return cast("dict[str, str]", redis.hgetall(learnt_key(function)))


def test_what_was_noted_is_read_back(redis: Redis) -> None:
    samples = [(init_field(Way.DISK), 0.5), (init_field(Way.TEMPLATE), 0.1), (SERVICE, 2.0)]
    LearntStore(redis).note("f", samples)
    stats = parse_learnt(stored(redis))
    assert stats.init_seconds == pytest.approx({Way.DISK: 0.5, Way.TEMPLATE: 0.1})
    assert stats.service_seconds == pytest.approx(2.0)


def test_samples_of_one_field_are_averaged_in_their_order(redis: Redis) -> None:
    LearntStore(redis).note("f", [(SERVICE, 1.0), (SERVICE, 2.0)])
    LearntStore(redis).note("f", [(SERVICE, 4.0)])
    expected = Average.of(1.0).with_sample(2.0).with_sample(4.0)
    assert Average.parse(stored(redis)[SERVICE]).value == pytest.approx(expected.value)


def test_functions_are_learnt_apart(redis: Redis) -> None:
    LearntStore(redis).note("f", [(SERVICE, 1.0)])
    assert parse_learnt(stored(redis, "g")) == FunctionStats()


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf, -math.inf, 2 * MAX_SECONDS, 1e18])
def test_absurd_measurements_change_nothing(redis: Redis, seconds: float) -> None:
    LearntStore(redis).note("f", [(SERVICE, 1.0)])
    before = stored(redis)
    LearntStore(redis).note("f", [(SERVICE, seconds)])
    assert stored(redis) == before


def test_broken_fields_count_as_not_learnt() -> None:
    broken = {SERVICE: "nan 0.1 1", "init.dram": "what", "init.disk": "", "init.tape": Average.of(1).to_text()}
    assert parse_learnt(broken) == FunctionStats()


def test_a_broken_field_is_learnt_anew(redis: Redis) -> None:
    redis.hset(learnt_key("f"), SERVICE, "garbage")
    LearntStore(redis).note("f", [(SERVICE, 3.0)])
    assert parse_learnt(stored(redis)).service_seconds == pytest.approx(3.0)


def test_what_a_function_taught_is_forgotten_in_time(redis: Redis) -> None:
    LearntStore(redis).note("f", [(SERVICE, 1.0)])
    left = redis.ttl(learnt_key("f"))
    assert isinstance(left, int)
    assert TTL_SECONDS - 60 < left <= TTL_SECONDS


def test_no_measurement_is_lost_when_many_nodes_write_at_once(valkey: ValkeyProcess, redis: Redis) -> None:
    def write(_: int) -> None:
        with valkey.client() as client:
            for _ in range(10):
                LearntStore(client).note("f", [(SERVICE, 1.0)])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    assert Average.parse(stored(redis)[SERVICE]).count == 60
