"""What a key, a call and a deploy may take of the platform: of its store, of the gateway, of nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from quickthaw.resources import Quotas
from quickthaw.types import FunctionSpec, InvocationState
from quickthaw_platform.commands import valkey
from quickthaw_platform.errors import Conflict, InstanceLost, InvalidRequest, RateLimited, RequestTooLarge, Unavailable
from quickthaw_platform.gateway.ceilings import check_ceilings
from quickthaw_platform.gateway.open_requests import OpenRequests
from quickthaw_platform.gateway.store_room import READ_SECONDS, StoreRoom
from quickthaw_platform.invocations.queues import Queues
from quickthaw_platform.invocations.records import Chunk, NewInvocation
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.invocations.stored import Kind, StoredObject, StoredObjects
from quickthaw_platform.invocations.watch import Watch
from quickthaw_platform.settings import Settings
from tests.state import announce_node, make_invocation, make_limits, make_version, rewind, start_instance

VERSION = make_version(concurrency=8)
ONCE = make_version(concurrency=8, resumable=False)
LARGE = {"input": {"prompt": "x" * 100_000}, "sampling": {}, "seed": 1}
ERROR = InstanceLost("died")
HOUR_MS = 3_600_000


@pytest.fixture
def settings(platform_settings: Settings) -> Settings:
    return platform_settings.model_copy(update={"key_store": 1 << 20})


@pytest.fixture
def store(redis: Redis, settings: Settings) -> InvocationStore:
    announce_node(redis)
    return InvocationStore(redis, settings)


@pytest.fixture
def objects(redis: Redis, settings: Settings) -> StoredObjects:
    return StoredObjects(redis, settings)


def begin(redis: Redis, store: InvocationStore, **fields: Any) -> int:
    start_instance(redis, fields.get("version", VERSION))
    store.admit(make_invocation(fields.pop("version", VERSION), "a", request=LARGE, **fields))
    return store.begin("a", 1, "n1", "x1")


def succeed(redis: Redis, store: InvocationStore) -> None:
    begin(redis, store)
    store.finish("a", 1, InvocationState.SUCCEEDED, result="done")


def cancel(_redis: Redis, store: InvocationStore) -> None:
    store.admit(make_invocation(VERSION, "a", request=LARGE))
    store.cancel("a", "enough")


def refuse(_redis: Redis, store: InvocationStore) -> None:
    store.admit(make_invocation(VERSION, "a", request=LARGE))
    store.refuse_late("a", 9.0, 1.0)


def fail_waiting(redis: Redis, store: InvocationStore) -> None:
    store.admit(make_invocation(VERSION, "a", request=LARGE))
    Queues(redis).fail_waiting(VERSION.id, ERROR)


def expire(redis: Redis, store: InvocationStore) -> None:
    store.admit(make_invocation(VERSION, "a", request=LARGE, limits=make_limits(start=1.0)))
    rewind(redis, "qt:deadlines", "a", 2.0)
    watch = Watch(redis)
    for overdue in watch.overdue():
        watch.expire(overdue)


def lose(redis: Redis, store: InvocationStore) -> None:
    seq = begin(redis, store, version=ONCE)
    store.append("a", 1, seq, [Chunk.of({"value": 1})])
    store.lose("a", 1, "died", ERROR)


ENDINGS = (succeed, cancel, refuse, fail_waiting, expire, lose)


@pytest.mark.parametrize("end", ENDINGS, ids=[end.__name__ for end in ENDINGS])
def test_what_was_asked_is_forgotten_when_a_call_ends_however_it_ends(
    redis: Redis, store: InvocationStore, end: Callable[[Redis, InvocationStore], None]
) -> None:
    end(redis, store)
    assert store.get("a").state.ended
    assert "x" * 1000 not in str(redis.hgetall("qt:inv:a"))
    assert (redis.memory_usage("qt:inv:a") or 0) < 4096


def test_what_was_asked_stays_while_another_may_have_to_run_it(redis: Redis, store: InvocationStore) -> None:
    begin(redis, store)
    store.lose("a", 1, "died", ERROR)
    assert store.request("a") == LARGE


def test_a_call_that_has_ended_still_tells_its_repetition_from_another_request(
    redis: Redis, store: InvocationStore
) -> None:
    begin(redis, store, idempotency_key="once")
    store.finish("a", 1, InvocationState.SUCCEEDED, result="done")
    again = make_invocation(VERSION, "b", request={**LARGE, "seed": 2}, idempotency_key="once")
    assert store.admit(again).duplicate_of == "a"
    with pytest.raises(Conflict):
        store.admit(make_invocation(VERSION, "c", idempotency_key="once"))


def held(redis: Redis, key: str = "k") -> int:
    return int(redis.hget(f"qt:held:{key}", "total") or 0)


def admit_until_refused(store: InvocationStore, **fields: Any) -> RateLimited:
    return refusal(store, lambda: make_invocation(VERSION, request=LARGE, key_id="k", **fields))


def refusal(store: InvocationStore, call: Callable[[], NewInvocation]) -> RateLimited:
    for _ in range(1000):
        try:
            store.admit(call())
        except RateLimited as error:
            return error
    raise AssertionError("a thousand calls were admitted")


def test_a_key_holds_no_more_of_the_store_than_it_may_and_others_are_not_touched(
    redis: Redis, store: InvocationStore, settings: Settings
) -> None:
    error = admit_until_refused(store)
    assert (error.status, error.code) == (429, "store_budget_exceeded")
    assert error.retry_after_seconds
    assert "store_bytes" in error.message
    assert held(redis) <= settings.key_store
    store.admit(make_invocation(VERSION, request=LARGE, key_id="other"))
    store.admit(make_invocation(VERSION, request=LARGE))


def test_a_key_may_have_a_budget_of_its_own(redis: Redis, store: InvocationStore) -> None:
    admit_until_refused(store, may_hold_bytes=250_000)
    assert held(redis) <= 250_000
    assert store.admit(make_invocation(VERSION, request=LARGE, key_id="k", may_hold_bytes=10 << 20)).position


def test_a_call_that_never_fits_is_too_large_and_nothing_of_it_is_kept(redis: Redis, store: InvocationStore) -> None:
    with pytest.raises(RequestTooLarge) as refused:
        store.admit(make_invocation(VERSION, "a", request=LARGE, key_id="k", may_hold_bytes=50_000))
    assert refused.value.code == "store_budget_exceeded"
    assert list(redis.scan_iter("*a")) == []
    assert held(redis) == 0


def test_many_small_calls_count_too(store: InvocationStore) -> None:
    assert refusal(store, lambda: make_invocation(VERSION, key_id="k")).code == "store_budget_exceeded"


def test_a_call_that_ends_counts_for_what_it_leaves(redis: Redis, store: InvocationStore) -> None:
    seq = begin(redis, store, key_id="k")
    store.append("a", 1, seq, [Chunk.of({"value": "y" * 50_000})])
    before = held(redis)
    assert before > 100_000
    store.finish("a", 1, InvocationState.SUCCEEDED, result="done")
    assert 50_000 < held(redis) < 70_000
    taken = sum(redis.memory_usage(name, samples=0) or 0 for name in ("qt:inv:a", "qt:inv.log:a"))
    assert abs(held(redis) - taken) < 1000


def test_what_has_expired_counts_no_more(redis: Redis, store: InvocationStore) -> None:
    begin(redis, store, key_id="k")
    store.finish("a", 1, InvocationState.SUCCEEDED, result="z" * 900_000)
    refused = admit_until_refused(store)
    assert refused.retry_after_seconds is not None
    assert 3500 < refused.retry_after_seconds < 3800  # invocation_ttl
    account = redis.hgetall("qt:held:k")
    (moment,) = (name for name in account if name.isdigit())
    seconds, _ = redis.time()
    redis.hdel("qt:held:k", moment)
    redis.hset("qt:held:k", mapping={"next": seconds - 60, str(seconds - 60): account[moment]})
    assert store.admit(make_invocation(VERSION, request=LARGE, key_id="k"))
    assert set(redis.hgetall("qt:held:k")) == {"total"}  # what runs has no end yet


def make_object(name: str, key: str = "k", size: int = 200_000) -> StoredObject:
    return StoredObject(f"resp_{name}", Kind.RESPONSE, key, name, "chat", {"request": "o" * size}, {})


def test_stored_objects_count_and_deleting_them_makes_room(
    redis: Redis, store: InvocationStore, objects: StoredObjects
) -> None:
    begin(redis, store, key_id="k")
    objects.keep(make_object("a"), 1.0)
    store.finish("a", 1, InvocationState.SUCCEEDED, result="z" * 700_000)
    assert held(redis) > 900_000
    admit_until_refused(store)
    objects.label("resp_a", {"m": "n" * 1000})
    objects.drop("resp_a")
    assert held(redis) < 300_000
    assert store.admit(make_invocation(VERSION, request=LARGE, key_id="k"))


def test_objects_beyond_the_limit_count_no_more(redis: Redis, store: InvocationStore, settings: Settings) -> None:
    objects = StoredObjects(redis, settings.model_copy(update={"stored_limit": 2}))
    for name in "abcdefgh":
        store.admit(make_invocation(VERSION, name, key_id="k"))
        objects.keep(make_object(name, size=50_000), 1.0)
    assert held(redis) < 8 * 6000 + 2 * 70_000


def test_calls_and_objects_that_are_all_gone_leave_an_empty_account(
    redis: Redis, store: InvocationStore, objects: StoredObjects
) -> None:
    start_instance(redis, VERSION)
    for name in "abc":
        store.admit(make_invocation(VERSION, name, key_id="k"))
        store.begin(name, 1, "n1", "x1")
        objects.keep(make_object(name, size=10_000), 1.0)
    objects.drop("resp_b")  # before its end
    for name in "abc":
        store.finish(name, 1, InvocationState.SUCCEEDED, result="done")
    for name in "ac":
        objects.drop(f"resp_{name}")
    seconds, _ = redis.time()
    account = redis.hgetall("qt:held:k")
    later = {name: int(size) for name, size in account.items() if name.isdigit() and int(size)}
    assert held(redis) == sum(later.values())
    assert all(int(moment) <= seconds + 61 for moment in later)  # b's, which went when it ended


class FakeServer:
    """Answers INFO as a store does that has used so much of 1000 bytes."""

    def __init__(self, used: int, most: int = 1000) -> None:
        self.used, self.most, self.asked = used, most, 0

    def info(self, section: str) -> dict[str, int]:
        assert section == "memory"
        self.asked += 1
        if self.used < 0:
            raise RedisConnectionError("away")
        return {"used_memory": self.used, "maxmemory": self.most}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [1000.0]
    monkeypatch.setattr("quickthaw_platform.gateway.store_room.time.monotonic", lambda: now[0])

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    return pass_time


@pytest.mark.usefixtures("clock")
def test_nothing_is_admitted_where_the_store_is_nearly_full_until_there_is_room_again() -> None:
    server = FakeServer(used=900)
    looks: list[Callable[[], None]] = []
    room = StoreRoom(server, looks.append)  # type: ignore[arg-type]  # all of Redis that it uses
    room.check()  # nothing is known yet, and nobody waits for it
    looks.pop()()
    with pytest.raises(Unavailable) as refused:
        room.check()
    assert (refused.value.status, refused.value.code) == (503, "store_full")
    assert refused.value.retry_after_seconds
    server.used = 500
    room.check()


def test_the_store_is_looked_at_once_in_a_while_and_not_for_each_call(clock: Callable[[float], None]) -> None:
    server = FakeServer(used=100)
    looks: list[Callable[[], None]] = []
    room = StoreRoom(server, looks.append)  # type: ignore[arg-type]
    for _ in range(1000):
        room.check()
    assert (len(looks), server.asked) == (1, 0)
    clock(READ_SECONDS)
    room.check()
    assert (len(looks), server.asked) == (2, 0)


@pytest.mark.parametrize(
    "server", [FakeServer(used=1 << 40, most=0), FakeServer(used=-1)], ids=["without a limit", "away"]
)
def test_a_store_without_a_limit_or_out_of_reach_is_not_called_full(server: FakeServer) -> None:
    room = StoreRoom(server, lambda look: look())  # type: ignore[arg-type]
    room.check()
    room.check()


def test_a_key_has_no_more_requests_open_than_it_may_and_others_are_not_touched() -> None:
    requests = OpenRequests(2)
    end = requests.begin("k")
    requests.begin("k")
    with pytest.raises(RateLimited) as refused:
        requests.begin("k")
    assert refused.value.code == "too_many_open_requests"
    requests.begin("other")
    end()
    requests.begin("k")
    assert (requests.count("k"), requests.count("other")) == (2, 1)


CEILINGS = Settings(min_memory=16 << 20, max_weight=10, max_keep_alive=3600.0, max_instances=20)
OWN = Quotas(memory=1 << 30, weight=100.0, keep_alive=60.0, max_instances=4)


@pytest.mark.parametrize(
    ("field", "value", "quotas"),
    [
        ("memory", 1, Quotas()),
        ("memory", (16 << 20) - 1, Quotas()),
        ("memory", (1 << 30) + 1, OWN),
        ("weight", 1e300, Quotas()),
        ("weight", 11.0, Quotas()),
        ("weight", 101.0, OWN),
        ("keep_alive", 1e18, Quotas()),
        ("keep_alive", 61.0, OWN),
        ("max_instances", 21, Quotas()),
        ("max_instances", 5, OWN),
        ("min_instances", 21, Quotas()),
        ("replicas", 21, Quotas()),
        ("replicas", 5, OWN),
    ],
    ids=lambda value: "own" if value is OWN else "settings" if isinstance(value, Quotas) else str(value),
)
def test_a_function_that_asks_for_less_or_more_than_its_deployer_may_is_refused_with_the_field(
    field: str, value: float, quotas: Quotas
) -> None:
    spec = FunctionSpec(name="f", model="m", **{field: value})
    with pytest.raises(InvalidRequest) as refused:
        check_ceilings(spec, CEILINGS, quotas)
    assert refused.value.param == field
    assert field in refused.value.message


@pytest.mark.parametrize("quotas", [Quotas(), OWN], ids=["settings", "own"])
def test_a_function_within_its_deployers_ceilings_is_not_refused(quotas: Quotas) -> None:
    check_ceilings(FunctionSpec(name="f", model="m", memory=16 << 20, max_instances=4), CEILINGS, quotas)
    check_ceilings(FunctionSpec(name="f", model="m"), CEILINGS, quotas)


def test_the_ceilings_of_a_key_stand_in_place_of_the_settings() -> None:
    check_ceilings(FunctionSpec(name="f", model="m", weight=100.0, keep_alive=60.0), CEILINGS, OWN)


def test_the_embedded_store_has_a_limit_and_drops_nothing_for_it(tmp_path: Path) -> None:
    file, _ = valkey.configure(tmp_path, 7000, most_memory_bytes=123 << 20)
    assert {f"maxmemory {123 << 20}", "maxmemory-policy noeviction"} <= set(file.read_text().splitlines())


def test_a_body_has_a_mebibyte_unless_the_setting_says_more() -> None:
    assert Settings().max_body == 1 << 20
