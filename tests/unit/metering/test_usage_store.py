"""Usage in Redis: written as often as one likes, rolled up, asked for; the sums are always those of what was used."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from quickthaw.errors import InvalidRequest
from quickthaw.resources import UsageRow
from quickthaw_platform.metering.usage.device_meter import Tokens
from quickthaw_platform.metering.usage.records import HOUR_SECONDS, Subject, UsageRecord, merged
from quickthaw_platform.metering.usage.rolling import RollUp
from quickthaw_platform.metering.usage.rows import By, parse_by
from quickthaw_platform.metering.usage.store import HOURS, UNROLLED, UsageStore, hour_key, rolled_key
from tests.made_up import examples

RETENTION_SECONDS = 90 * 86400.0
SUBJECT = Subject("f", "v1", "serverless", "n1", "cpu", 100)
PERIOD = 60


@pytest.fixture
def hour(redis: Redis) -> int:
    """A whole hour that ended some days ago."""
    return int(int(redis.time()[0]) // HOUR_SECONDS) - 100


@pytest.fixture
def store(redis: Redis) -> UsageStore:
    return UsageStore(redis, RETENTION_SECONDS)


@pytest.fixture
def roll_up(redis: Redis) -> RollUp:
    return RollUp(redis, detail_seconds=86400.0, retention_seconds=RETENTION_SECONDS)


def record(hour: int, minute: int = 0, subject: Subject = SUBJECT, final: bool = True, **given: Any) -> UsageRecord:
    fields: dict[str, Any] = {"seconds": {("decode", "k"): 10.5, ("idle", ""): 1.25}, **given}
    return UsageRecord(subject, hour * HOUR_SECONDS + minute * PERIOD, final=final, **fields)


def key_of(instance: str, found: UsageRecord) -> tuple[str, int]:
    return instance, int(found.start // PERIOD)


def total(rows: list[UsageRow]) -> UsageRow:
    (row,) = rows
    return row


def test_a_record_survives_its_text() -> None:
    full = record(5, tokens={"k": Tokens(1, 2, 3)}, requests={"k": 1}, fetched_bytes={"disk": 7}, final=False)
    assert UsageRecord.parse(full.to_json()) == full


def test_writing_again_replaces_and_never_adds(store: UsageStore, hour: int) -> None:
    early, late = record(hour, final=False), record(hour, seconds={("decode", "k"): 30.0})
    for _ in range(3):
        store.write({key_of("i", early): early})
    store.write({key_of("i", late): late})
    assert total(store.rows(None, None, ())).seconds == 30.0


def test_rows_are_told_apart_by_what_is_asked_for(store: UsageStore, hour: int) -> None:
    other = Subject("g", "v2", "serverful", "n2", "cuda:0", 50)
    first = record(hour, tokens={"k": Tokens(5, 7, 2)}, requests={"k": 2}, fetched_bytes={"disk": 9})
    second = record(hour, subject=other, seconds={("idle", ""): 4.0})
    store.write({key_of("a", first): first, key_of("b", second): second})
    by_function = {row.function: row for row in store.rows(None, None, (By.FUNCTION,))}
    assert by_function["f"] == UsageRow(
        function="f", seconds=11.75, memory_byte_seconds=1175.0, tokens_in=5, tokens_out=7, tokens_cached=2,
        requests=2, fetched_bytes={"disk": 9},
    )  # fmt: skip
    assert by_function["g"].seconds == 4.0
    by_all = store.rows(None, None, (By.BACKEND, By.DEVICE, By.NODE, By.VERSION))
    assert [(r.backend, r.device, r.node, r.version) for r in by_all] == [
        ("serverful", "cuda:0", "n2", "v2"),
        ("serverless", "cpu", "n1", "v1"),
    ]
    assert [row.function for row in store.rows(None, None, (By.FUNCTION,), function="g")] == ["g"]


def test_by_phase_and_key_what_has_no_phase_stands_in_a_row_of_its_own(store: UsageStore, hour: int) -> None:
    found = record(hour, tokens={"k": Tokens(5, 7)}, requests={"k": 2}, fetched_bytes={"remote": 9})
    store.write({key_of("a", found): found})
    rows = store.rows(None, None, (By.PHASE, By.KEY))
    assert [(r.phase, r.key, r.seconds, r.tokens_in, r.requests, r.fetched_bytes) for r in rows] == [
        ("", "", 0.0, 0, 0, {"remote": 9}),
        ("", "k", 0.0, 5, 2, {}),
        ("decode", "k", 10.5, 0, 0, {}),
        ("idle", "", 1.25, 0, 0, {}),
    ]


def test_a_period_counts_where_it_starts(store: UsageStore, hour: int) -> None:
    first, second = record(hour, 58), record(hour + 1, 1)
    store.write({key_of("i", each): each for each in (first, second)})
    assert total(store.rows(first.start, second.start, ())).seconds == 11.75
    assert total(store.rows(first.start, second.start + 1, ())).seconds == 23.5
    assert store.rows(second.start + 1, None, ()) == []


def test_an_unknown_name_to_tell_rows_apart_by_is_refused_with_the_known_ones() -> None:
    assert parse_by(["phase", "function", "phase"]) == (By.PHASE, By.FUNCTION)
    with pytest.raises(InvalidRequest, match="'colour'; known: function, version, backend, node, device, key, phase"):
        parse_by(["function", "colour"])


def test_rolling_up_leaves_one_record_of_each_kind_and_the_sums_as_they_were(
    redis: Redis, store: UsageStore, roll_up: RollUp, hour: int
) -> None:
    other = SUBJECT._replace(memory_bytes=7)
    records = {
        key_of(f"i{n}", found): found
        for n in range(3)
        for minute in range(60)
        for found in [
            record(
                hour, minute, other if n == 2 else SUBJECT, seconds={("decode", "k"): 0.1 * minute},
                tokens={"k": Tokens(n, minute)}, requests={"k": 1}, fetched_bytes={"disk": n},
            )
        ]
    }  # fmt: skip
    store.write(records)
    by = (By.FUNCTION, By.KEY, By.PHASE)
    before = store.rows(None, None, by)
    assert roll_up.round(redis_now(redis)) == 180
    after = store.rows(None, None, by)
    assert [row.model_copy(update={"seconds": 0, "memory_byte_seconds": 0}) for row in after] == [
        row.model_copy(update={"seconds": 0, "memory_byte_seconds": 0}) for row in before
    ]
    for new, old in zip(after, before, strict=True):
        assert math.isclose(new.seconds, old.seconds, rel_tol=1e-12)
        assert math.isclose(new.memory_byte_seconds, old.memory_byte_seconds, rel_tol=1e-12)
    assert redis.hlen(hour_key(hour)) == 2
    assert redis.zcard(UNROLLED) == 0
    assert roll_up.round(redis_now(redis)) == 0


def redis_now(redis: Redis) -> float:
    return float(redis.time()[0])


def test_what_is_young_stays_in_detail(redis: Redis, store: UsageStore, roll_up: RollUp) -> None:
    young = record(int(redis_now(redis) // HOUR_SECONDS) - 20)
    store.write({key_of("i", young): young})
    assert roll_up.round(redis_now(redis)) == 0
    assert redis.hlen(hour_key(young.hour)) == 1


def test_a_late_period_is_added_to_a_rolled_hour_once(
    redis: Redis, store: UsageStore, roll_up: RollUp, hour: int
) -> None:
    first, late = record(hour, 1), record(hour, 2, seconds={("decode", "k"): 5.0})
    store.write({key_of("i", first): first})
    roll_up.round(redis_now(redis))
    for _ in range(2):
        store.write({key_of("i", first): first, key_of("i", late): late})  # its agent was never sure about the first
        assert total(store.rows(None, None, ())).seconds == 16.75
        roll_up.round(redis_now(redis))
        assert total(store.rows(None, None, ())).seconds == 16.75
    assert redis.hlen(hour_key(hour)) == 1


def test_a_record_that_is_not_final_waits_for_its_last_word(
    redis: Redis, store: UsageStore, roll_up: RollUp, hour: int
) -> None:
    open_, last = record(hour, 1, final=False), record(hour, 1, seconds={("decode", "k"): 50.0})
    done = record(hour, 0)
    store.write({key_of("i", each): each for each in (done, open_)})
    assert roll_up.round(redis_now(redis)) == 1
    assert total(store.rows(None, None, ())).seconds == 23.5
    store.write({key_of("i", last): last})
    assert total(store.rows(None, None, ())).seconds == 61.75
    assert roll_up.round(redis_now(redis)) == 1
    assert total(store.rows(None, None, ())).seconds == 61.75


def test_a_round_that_is_cut_off_is_done_again(
    redis: Redis, store: UsageStore, roll_up: RollUp, hour: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = record(hour)
    store.write({key_of("i", found): found})
    with monkeypatch.context() as patch:
        patch.setattr(RollUp, "_merge", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            roll_up.round(redis_now(redis))
    assert roll_up.round(redis_now(redis)) == 1


def test_usage_is_kept_for_as_long_as_was_asked(redis: Redis, hour: int) -> None:
    store = UsageStore(redis, 101 * HOUR_SECONDS)
    found = record(hour)
    store.write({key_of("i", found): found})
    roll_up = RollUp(redis, detail_seconds=86400.0, retention_seconds=101 * HOUR_SECONDS)
    roll_up.round(redis_now(redis))
    for name in (hour_key(hour), rolled_key(hour)):
        assert 0 < redis.ttl(name) <= 2 * HOUR_SECONDS
    older = record(hour - 10)
    store.write({key_of("i", older): older})
    assert total(store.rows(None, None, ())).seconds == 11.75
    roll_up.round(redis_now(redis))
    assert redis.zrange(HOURS, 0, -1) == [str(hour)]


amounts = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 59), st.floats(0, 60, allow_nan=False)), max_size=30)


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes=amounts, rolls=st.sets(st.integers(0, 30)))
def test_however_writes_and_roll_ups_alternate_each_final_period_counts_once(
    redis: Redis, store: UsageStore, roll_up: RollUp, hour: int, writes: list[tuple[int, int, float]], rolls: set[int]
) -> None:
    redis.flushall()
    known: dict[tuple[str, int], float] = {}
    for number, (instance, minute, seconds) in enumerate(writes):
        kept = known.setdefault((f"i{instance}", minute), seconds)  # a final period is always the same
        found = record(hour, minute, seconds={("decode", "k"): kept})
        store.write({key_of(f"i{instance}", found): found})
        if number in rolls:
            roll_up.round(redis_now(redis))
    rows = store.rows(None, None, ())
    assert math.isclose(rows[0].seconds if rows else 0.0, math.fsum(known.values()), rel_tol=1e-9, abs_tol=1e-9)


def test_merging_nothing_is_nothing() -> None:
    assert merged(SUBJECT, 0.0, []).seconds == {}
