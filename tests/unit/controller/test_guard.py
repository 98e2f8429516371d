from __future__ import annotations

from redis import Redis

from quickthaw_platform.controller.guard import alone


def test_one_round_of_a_kind_at_a_time(redis: Redis) -> None:
    with alone(redis, "sweep") as first, alone(redis, "sweep") as second, alone(redis, "serve") as other:
        assert (first, second, other) == (True, False, True)
    with alone(redis, "sweep") as again:
        assert again


def test_a_holder_that_died_holds_it_for_seconds_only(redis: Redis) -> None:
    guard = alone(redis, "sweep")
    guard.__enter__()
    assert 0 < redis.pttl("qt:controller.lock:sweep") <= 5000


def test_a_round_that_outlived_its_hold_takes_nothing_from_its_successor(redis: Redis) -> None:
    with alone(redis, "sweep"):
        redis.set("qt:controller.lock:sweep", "another's")
    assert redis.get("qt:controller.lock:sweep") == "another's"
