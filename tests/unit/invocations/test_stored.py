from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from quickthaw.types import InvocationState
from quickthaw_platform.errors import InvocationNotFound, NotFound
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.invocations.stored import Kind, StoredObject, StoredObjects
from quickthaw_platform.settings import Settings
from tests.state import make_invocation, make_version, start_instance

VERSION = make_version(concurrency=8)
HOUR_MS = 3_600_000


@pytest.fixture
def settings(platform_settings: Settings) -> Settings:
    return platform_settings.model_copy(update={"stored_limit": 3})


@pytest.fixture
def objects(redis: Redis, settings: Settings) -> StoredObjects:
    return StoredObjects(redis, settings)


def make_object(name: str, key: str | None = "k", **fields: Any) -> StoredObject:
    return StoredObject(
        **{
            "id": f"resp_{name}",
            "kind": Kind.RESPONSE,
            "key_id": key,
            "invocation": name,
            "model": "chat",
            "body": {"request": {"input": "hi"}},
            "metadata": {"a": "b"},
            **fields,
        }
    )


def run(redis: Redis, store: InvocationStore, name: str, **fields: Any) -> None:
    """Bring an invocation to its end."""
    start_instance(redis, VERSION)
    store.admit(make_invocation(VERSION, name, **fields))
    store.begin(name, 1, "n1", "x1")
    store.finish(name, 1, InvocationState.SUCCEEDED, result="done")


def names(objects: StoredObjects, key: str | None = "k", after: str | None = None, **order: bool) -> list[str]:
    return [found.invocation for found in objects.of_key(Kind.RESPONSE, key, after, **order)]


def test_what_was_kept_comes_back_with_the_time_it_was_made(
    redis: Redis, store: InvocationStore, objects: StoredObjects
) -> None:
    run(redis, store, "a")
    objects.keep(make_object("a"), running_seconds=1)
    found = objects.get("resp_a")
    assert found is not None
    assert found == make_object("a", created_at=found.created_at)
    assert found.created_at == pytest.approx(redis.time()[0], abs=2)


def test_kept_again_it_stays_as_it_is(redis: Redis, store: InvocationStore, objects: StoredObjects) -> None:
    run(redis, store, "a")
    objects.keep(make_object("a"), running_seconds=1)
    objects.keep(make_object("a", metadata={}), running_seconds=1)
    assert names(objects) == ["a"]
    found = objects.get("resp_a")
    assert found is not None
    assert found.metadata == {"a": "b"}


def test_an_ended_invocation_is_kept_for_as_long_as_its_call_says(redis: Redis, store: InvocationStore) -> None:
    run(redis, store, "a", keep_seconds=86_400.0)
    run(redis, store, "b")
    assert HOUR_MS < redis.pttl("qt:inv:a") <= 24 * HOUR_MS
    assert HOUR_MS < redis.pttl("qt:inv.log:a") <= 24 * HOUR_MS
    assert 0 < redis.pttl("qt:inv:b") <= HOUR_MS


def test_an_object_goes_with_its_invocation(redis: Redis, store: InvocationStore, objects: StoredObjects) -> None:
    run(redis, store, "a")
    objects.keep(make_object("a"), running_seconds=1)
    assert 0 < redis.pttl("qt:stored:resp_a") <= 24 * HOUR_MS + 1000
    redis.delete("qt:inv:a")
    assert objects.get("resp_a") is None
    assert names(objects) == []


def test_metadata_is_replaced_where_there_is_an_object(
    redis: Redis, store: InvocationStore, objects: StoredObjects
) -> None:
    run(redis, store, "a")
    objects.keep(make_object("a"), running_seconds=1)
    assert objects.label("resp_a", {"c": "d"})
    assert not objects.label("resp_b", {"c": "d"})
    found = objects.get("resp_a")
    assert found is not None
    assert found.metadata == {"c": "d"}


def test_a_dropped_object_takes_its_ended_invocation_along(
    redis: Redis, store: InvocationStore, objects: StoredObjects
) -> None:
    run(redis, store, "a")
    objects.keep(make_object("a"), running_seconds=1)
    assert objects.drop("resp_a")
    assert not objects.drop("resp_a")
    assert names(objects) == []
    with pytest.raises(InvocationNotFound):
        store.get("a")
    assert not redis.exists("qt:inv.log:a")


def test_a_running_invocation_outlives_its_dropped_object(
    redis: Redis, store: InvocationStore, objects: StoredObjects
) -> None:
    start_instance(redis, VERSION)
    store.admit(make_invocation(VERSION, "a", keep_seconds=86_400.0))
    objects.keep(make_object("a"), running_seconds=1)
    assert objects.drop("resp_a")
    assert store.begin("a", 1, "n1", "x1")
    assert store.finish("a", 1, InvocationState.SUCCEEDED).done
    assert redis.pttl("qt:inv:a") <= 1


def test_beyond_the_limit_the_oldest_is_forgotten_and_its_invocation_as_any_other(
    redis: Redis, store: InvocationStore, objects: StoredObjects
) -> None:
    for name in "abcd":
        run(redis, store, name, keep_seconds=86_400.0)
        objects.keep(make_object(name), running_seconds=1)
    assert names(objects) == ["b", "c", "d"]
    assert objects.get("resp_a") is None
    assert 0 < redis.pttl("qt:inv:a") <= HOUR_MS
    assert redis.pttl("qt:inv:b") > HOUR_MS


def test_what_an_idempotency_key_names_stays_though_its_object_is_forgotten(
    redis: Redis, store: InvocationStore, objects: StoredObjects
) -> None:
    run(redis, store, "a", idempotency_key="once")
    objects.keep(make_object("a"), running_seconds=1)
    for name in "bcd":
        run(redis, store, name)
        objects.keep(make_object(name), running_seconds=1)
    assert redis.pttl("qt:inv:a") > HOUR_MS


def test_a_key_lists_its_own_in_order(redis: Redis, store: InvocationStore, objects: StoredObjects) -> None:
    for name, key in (("a", "k"), ("b", None), ("c", "k"), ("d", "k")):
        run(redis, store, name)
        objects.keep(make_object(name, key), running_seconds=1)
    assert names(objects) == ["a", "c", "d"]
    assert names(objects, newest_first=True) == ["d", "c", "a"]
    assert names(objects, after="resp_a") == ["c", "d"]
    assert names(objects, after="resp_c", newest_first=True) == ["a"]
    with pytest.raises(NotFound, match="'resp_gone'"):
        names(objects, after="resp_gone")
    assert names(objects, key=None) == ["b"]
    assert [found.id for found in objects.of_key(Kind.COMPLETION, "k")] == []
