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
