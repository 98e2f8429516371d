"""What becomes of a call that finds no free slot."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from redis import Redis

from quickthaw.types import InvocationState, Version
from quickthaw_platform.gateway.admission import place
from quickthaw_platform.gateway.services import Services
from quickthaw_platform.invocations.queues import Queues
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.settings import Settings
from tests.state import make_invocation, make_limits, make_version


class Estimating:
    """An allocator that starts something and tells how long that takes."""

    def __init__(self, redis: Redis, seconds: float) -> None:
        self._queues = Queues(redis)
        self._seconds = seconds

    def allocate(self, version: Version) -> None:
        self._queues.explain(version.id, "an instance is starting", self._seconds, 8)


def test_a_call_that_cannot_be_served_before_its_start_limit_is_told_so_at_once(
    redis: Redis, platform_settings: Settings
) -> None:
    store = InvocationStore(redis, platform_settings)
    version = make_version(limits=make_limits(start=10.0))
    for late, state in ((39.0, InvocationState.QUEUED), (41.0, InvocationState.FAILED)):
        new = make_invocation(version)
        admission = store.admit(new)
        allocator = Estimating(redis, late)
        services = SimpleNamespace(store=store, allocator=allocator)
        place(cast("Services", services), new, admission)
        info = store.get(new.id)
        assert info.state is state
    assert info.error is not None
    assert info.error["code"] == "start_too_late"
    assert "41.0 s" in info.error["message"]
