from __future__ import annotations

import random
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from quickthaw_platform.contracts import Way
from quickthaw_platform.router.accuracy import KEY, MAX_ROWS, AccuracyLog, PredictedStart, summarise


def row(predicted: float, actual: float, way: Way = Way.DISK, instance: str = "x1") -> PredictedStart:
    return PredictedStart("f", "n1", instance, way, predicted, actual)


def test_without_a_start_there_is_nothing_to_say() -> None:
    found = summarise([])
    assert found.overall is None
    assert found.by_way == {}


def test_percentiles_are_of_the_share_that_a_prediction_was_off() -> None:
    rows = [row(100 + n, 100) for n in range(1, 101)]  # 1 % to 100 % too much
    random.Random(0).shuffle(rows)
    found = summarise(rows).overall
    assert found is not None
    assert found.starts == 100
    assert [found.p50, found.p90, found.p99] == pytest.approx([0.5, 0.9, 0.99])
    assert found.median_signed == pytest.approx(0.505)


def test_too_little_is_as_wrong_as_too_much_and_has_the_other_sign() -> None:
    found = summarise([row(0.5, 1.0), row(0.6, 1.0), row(0.4, 1.0)]).overall
    assert found is not None
    assert [found.p50, found.median_signed] == pytest.approx([0.5, -0.5])


def test_each_way_has_its_own_figures() -> None:
    found = summarise([row(1.0, 1.0, Way.TEMPLATE), row(2.0, 1.0, Way.REMOTE), row(4.0, 1.0, Way.REMOTE)])
    assert list(found.by_way) == ["template", "remote"]
    assert (found.by_way["template"].p99, found.by_way["remote"].p50, found.by_way["remote"].p99) == (0.0, 1.0, 3.0)
    assert found.overall is not None
    assert found.overall.starts == 3


@given(st.lists(st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)), min_size=1))
def test_percentiles_are_in_order_and_among_the_errors(pairs: list[tuple[float, float]]) -> None:
    rows = [row(*pair) for pair in pairs]
    found = summarise(rows).overall
    assert found is not None
    errors = {abs(each.error) for each in rows}
    assert 0 <= found.p50 <= found.p90 <= found.p99 == max(errors) or len(rows) > 100
    assert {found.p50, found.p90, found.p99} <= errors


def test_what_was_appended_is_read_back_in_order(redis: Redis) -> None:
    log = AccuracyLog(redis)
    rows = [row(1.5, 2.0), row(0.25, 0.125, Way.TEMPLATE, "x2")]
    log.append(rows)
    assert log.rows() == rows


def test_a_start_by_a_way_that_only_another_release_knows_is_left_out(redis: Redis) -> None:
    log = AccuracyLog(redis)
    log.append([row(1.5, 2.0), row(0.25, 0.125)])
    stored = cast("list[tuple[str, dict[Any, Any]]]", redis.xrange(KEY))
    redis.xtrim(KEY, maxlen=1, approximate=False)
    redis.xadd(KEY, {**stored[0][1], "way": "peer"})
    assert log.rows() == [row(0.25, 0.125)]


def test_the_start_of_an_instance_is_found(redis: Redis) -> None:
    log = AccuracyLog(redis)
    seconds, _ = redis.time()
    log.append([row(1, 2), row(3, 4, instance="x2")])
    assert log.of_instance("x2", seconds) == row(3, 4, instance="x2")
    assert log.of_instance("x3", seconds) is None
    assert log.of_instance("x2", seconds + 60) is None


def test_only_the_last_starts_are_kept(redis: Redis) -> None:
    AccuracyLog(redis).append([row(1, 2)] * (MAX_ROWS + 500))
    kept = redis.xlen(KEY)
    assert isinstance(kept, int)
    assert MAX_ROWS <= kept < MAX_ROWS + 200
