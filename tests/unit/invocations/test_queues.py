from __future__ import annotations

from redis import Redis

from quickthaw.types import InvocationState
from quickthaw_platform.errors import StartFailed
from quickthaw_platform.invocations.queues import Queues
from quickthaw_platform.invocations.store import InvocationStore
from tests.state import make_invocation, make_version, start_instance

VERSION = make_version(concurrency=1)


def test_waiting_counts_each_version_that_has_any(redis: Redis, store: InvocationStore, queues: Queues) -> None:
    for identity in ("a", "b"):
        store.admit(make_invocation(VERSION, identity))
    store.admit(make_invocation(make_version("v2"), "c"))
    assert queues.waiting() == {"v1": 2, "v2": 1}
    store.cancel("c", "enough")
    assert queues.waiting() == {"v1": 2}
    start_instance(redis, VERSION)
    store.claim("x1")
    assert queues.waiting() == {"v1": 1}


def test_who_waits_is_told_why_and_for_how_long(store: InvocationStore, queues: Queues) -> None:
    store.admit(make_invocation(VERSION, "a"))
    queues.explain("v1", "an instance is starting", 30.0)
    info = store.get("a")
    assert info.reason == "an instance is starting"
    assert info.estimate_seconds is not None
    assert 29 < info.estimate_seconds <= 30
    queues.explain("v1", "all busy")
    info = store.get("a")
    assert (info.reason, info.estimate_seconds) == ("all busy", None)


def test_each_place_in_the_queue_has_its_own_estimate(store: InvocationStore, queues: Queues) -> None:
    """Two slots of 5 s each, in 30 s."""
    ids = ["a", "b", "c", "d", "e"]
    for identity in ids:
        store.admit(make_invocation(VERSION, identity))
    queues.explain("v1", "an instance is starting", 30.0, 2, 5.0)
    assert [round(store.get(i).estimate_seconds or 0) for i in ids] == [30, 30, 35, 35, 40]
    store.cancel("a", "enough")
    assert round(store.get("c").estimate_seconds or 0) == 30


def test_the_estimate_is_the_same_for_all_where_no_service_time_is_known(
    store: InvocationStore, queues: Queues
) -> None:
    for identity in ("a", "b"):
        store.admit(make_invocation(VERSION, identity))
    queues.explain("v1", "an instance is starting", 30.0, 1)
    assert round(store.get("b").estimate_seconds or 0) == 30
    queues.explain("v1", "all busy", None, 1, 5.0)
    assert store.get("b").estimate_seconds is None


def test_what_cannot_start_in_time_is_refused_while_it_waits(redis: Redis, store: InvocationStore) -> None:
    for identity in ("a", "b"):
        store.admit(make_invocation(VERSION, identity))
    assert store.refuse_late("b", 40.0, 10.0)
    assert not store.refuse_late("b", 40.0, 10.0)
    info = store.get("b")
    assert info.state is InvocationState.FAILED
    assert info.error is not None
    assert info.error["code"] == "start_too_late"
    assert info.error["retry_after_seconds"] == 30
    start_instance(redis, VERSION)
    assert store.claim("x1")[0].invocation == "a"
    assert not store.refuse_late("a", 40.0, 10.0)
    assert store.get("a").state is InvocationState.ASSIGNED


def test_all_that_waits_fails_with_the_cause_and_what_runs_goes_on(
    redis: Redis, store: InvocationStore, queues: Queues
) -> None:
    start_instance(redis, VERSION)
    ids = [f"i{i}" for i in range(250)]
    for identity in ids:
        store.admit(make_invocation(VERSION, identity))
    error = StartFailed("importing function.py failed: NameError")
    assert queues.fail_waiting("v1", error) == ids[1:]
    assert store.get(ids[0]).state is InvocationState.ASSIGNED
    for identity in (ids[1], ids[-1]):
        assert store.get(identity).error == error.to_json()
    assert queues.waiting() == {}
    assert queues.fail_waiting("v1", error) == []
