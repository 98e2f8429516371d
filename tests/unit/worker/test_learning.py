from __future__ import annotations

from typing import cast

import pytest
from redis import Redis

from quickthaw_platform.contracts import FunctionStats, Way
from quickthaw_platform.errors import Unavailable
from quickthaw_platform.router.accuracy import AccuracyLog, PredictedStart
from quickthaw_platform.router.learnt import learnt_key
from quickthaw_platform.router.learnt import parse as parse_learnt
from quickthaw_platform.worker.learning import MIN_INIT_SECONDS, FinishedStart, Learning
from tests.valkey_process import ValkeyProcess


def start(way: Way, seconds: float, load: float = 0.0, predicted: float | None = None) -> FinishedStart:
    return FinishedStart("f", "x1", way, seconds, load, predicted)


def learnt(redis: Redis, function: str = "f") -> FunctionStats:
    return parse_learnt(cast("dict[str, str]", redis.hgetall(learnt_key(function))))


def test_what_a_start_takes_beyond_its_load_is_learnt_by_way(redis: Redis) -> None:
    learning = Learning(redis, "n1")
    learning.started(start(Way.DISK, 2.0, load=1.5))
    learning.started(start(Way.TEMPLATE, 0.1))
    learning.flush()
    assert learnt(redis).init_seconds == pytest.approx({Way.DISK: 0.5, Way.TEMPLATE: 0.1})


def test_a_start_that_was_done_when_its_weights_were_takes_next_to_nothing_more(redis: Redis) -> None:
    learning = Learning(redis, "n1")
    learning.started(start(Way.REMOTE, 2.0, load=2.0))
    learning.flush()
    assert learnt(redis).init_seconds == pytest.approx({Way.REMOTE: MIN_INIT_SECONDS})


def test_how_long_calls_hold_their_slots_is_learnt_for_each_function(redis: Redis) -> None:
    learning = Learning(redis, "n1")
    learning.served("f", 2.0)
    learning.served("g", 4.0)
    learning.flush()
    assert learnt(redis).service_seconds == pytest.approx(2.0)
    assert learnt(redis, "g").service_seconds == pytest.approx(4.0)


def test_a_start_with_an_estimate_is_compared_with_it(redis: Redis) -> None:
    learning = Learning(redis, "n1")
    learning.started(start(Way.DISK, 2.0, predicted=1.5))
    learning.started(start(Way.DISK, 2.0))
    learning.flush()
    assert AccuracyLog(redis).rows() == [PredictedStart("f", "n1", "x1", Way.DISK, 1.5, 2.0)]


def test_nothing_is_written_twice(redis: Redis) -> None:
    learning = Learning(redis, "n1")
    learning.started(start(Way.DISK, 2.0, predicted=1.5))
    learning.flush()
    learning.flush()
    assert len(AccuracyLog(redis).rows()) == 1


def test_what_redis_did_not_take_waits_for_the_next_time(own_valkey: ValkeyProcess) -> None:
    with own_valkey.client() as redis:
        learning = Learning(redis, "n1")
        learning.started(start(Way.DISK, 2.0, load=1.0, predicted=1.5))
        own_valkey.kill()
        with pytest.raises(Unavailable):
            learning.flush()
        learning.served("f", 3.0)
        own_valkey.start()
        learning.flush()
        assert learnt(redis).init_seconds == pytest.approx({Way.DISK: 1.0})
        assert learnt(redis).service_seconds == pytest.approx(3.0)
        assert len(AccuracyLog(redis).rows()) == 1
