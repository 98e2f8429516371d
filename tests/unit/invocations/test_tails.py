"""Many logs, followed with one blocking read."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from quickthaw.types import EventType
from quickthaw_platform.invocations.records import event_json
from quickthaw_platform.invocations.tails import MAX_WAITING, Tail, Tails, log_key, read_entries
from tests.valkey_process import ValkeyProcess

SOON_SECONDS = 10.0


@pytest.fixture
def tails(redis: Redis) -> Tails:
    return Tails(redis)


def write(redis: Redis, identity: str, seq: int) -> None:
    redis.xadd(log_key(identity), {"e": event_json(EventType.CHUNK, {"value": seq})}, id=f"{seq}-0")


def opened(tails: Tails, identity: str, after: int = 0) -> Tail:
    return tails.open(log_key(identity), f"{after}-0")


def seqs(tail: Tail, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        events = read_entries(tail.take(SOON_SECONDS))
        assert events
        found += [event.seq for event in events]
    return found


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_each_follower_gets_what_comes_in_its_log(redis: Redis, tails: Tails) -> None:
    places = {identity: opened(tails, identity) for identity in "abcdefgh"}
    for seq in range(1, 21):
        for identity in places:
            write(redis, identity, seq)
    for tail in places.values():
        assert seqs(tail, 20) == list(range(1, 21))


def test_one_client_waits_for_all_logs(redis: Redis, tails: Tails) -> None:
    for identity in "abcdefgh":
        opened(tails, identity)
    until(lambda: redis.info("clients")["blocked_clients"] == 1)


def test_a_new_follower_does_not_wait_for_the_others(redis: Redis, tails: Tails) -> None:
    """The read under way is not of its log: it ends at once, not when the others hear something."""
    began = time.monotonic()
    for number in range(20):
        identity = f"log-{number}"
        tail = opened(tails, identity)
        write(redis, identity, 1)
        assert seqs(tail, 1) == [1]
    assert time.monotonic() - began < 20.0  # one read takes up to 5 s, and there would be one for each


def test_it_begins_behind_a_position(redis: Redis, tails: Tails) -> None:
    for seq in (1, 2, 3):
        write(redis, "a", seq)
    assert seqs(opened(tails, "a", after=1), 2) == [2, 3]


def test_followers_of_one_log_get_all_behind_where_each_began(redis: Redis, tails: Tails) -> None:
    for seq in (1, 2, 3):
        write(redis, "a", seq)
    late, early = opened(tails, "a", after=3), opened(tails, "a", after=1)
    assert seqs(early, 2) == [2, 3]
    for seq in (4, 5):
        write(redis, "a", seq)
    latest = opened(tails, "a", after=4)
    assert seqs(late, 2) == seqs(early, 2) == [4, 5]
    assert seqs(latest, 1) == [5]
    assert late.take(0.01) == early.take(0.01) == latest.take(0.01) == ()


def test_many_followers_of_one_log_are_one_read(redis: Redis, tails: Tails) -> None:
    places = [opened(tails, "a") for _ in range(50)]
    until(lambda: redis.info("clients")["blocked_clients"] == 1)
    write(redis, "a", 1)
    assert [seqs(tail, 1) for tail in places] == [[1]] * 50


def test_a_follower_that_leaves_takes_nobody_else_with_it(redis: Redis, tails: Tails) -> None:
    first, second = opened(tails, "a"), opened(tails, "a")
    first.close()
    first.close()
    write(redis, "a", 1)
    assert seqs(second, 1) == [1]


def test_silence_is_no_event(tails: Tails) -> None:
    assert opened(tails, "a").take(0.01) == ()


def test_who_lags_is_left_and_opens_another_place(redis: Redis, tails: Tails) -> None:
    tail = opened(tails, "a")
    for seq in range(1, MAX_WAITING + 1):
        tail.put([(f"{seq}-0", ("e", event_json(EventType.CHUNK, {"value": seq})))])
    assert not tail.used_up
    assert seqs(tail, MAX_WAITING) == list(range(1, MAX_WAITING + 1))
    assert tail.used_up
    write(redis, "a", MAX_WAITING + 1)
    assert seqs(opened(tails, "a", after=MAX_WAITING), 1) == [MAX_WAITING + 1]


def test_an_outage_is_heard_by_all_and_later_followers_are_served(own_valkey: ValkeyProcess) -> None:
    with own_valkey.client() as client:
        tails = Tails(client)
        places = [opened(tails, identity) for identity in "ab"]
        until(lambda: client.info("clients")["blocked_clients"] == 1)
        own_valkey.kill()
        for tail in places:
            with pytest.raises(RedisConnectionError):
                tail.take(SOON_SECONDS)
            assert tail.used_up
        own_valkey.start()
        tail = opened(tails, "a")
        write(client, "a", 1)
        assert seqs(tail, 1) == [1]
