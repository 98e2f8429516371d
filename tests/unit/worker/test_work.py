"""Beginning an invocation on a real Valkey that is away for a moment, in the middle."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from quickthaw.errors import InstanceLost
from quickthaw.types import InvocationState
from quickthaw_platform.errors import Unavailable
from quickthaw_platform.invocations.records import Append, Chunk, History
from quickthaw_platform.invocations.store import NOTHING, InvocationStore
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker.work import Intake
from tests.state import announce_node, make_invocation, make_limits, make_version, start_instance


class Away(InvocationStore):
    """A store whose Redis is away when the history is asked for the first time."""

    away = True

    def history(self, identity: str, after: History = NOTHING) -> History:
        if self.away:
            self.away = False
            raise Unavailable("redis was killed")
        return super().history(identity, after)


def test_what_was_begun_and_not_read_is_begun_again(redis: Redis, platform_settings: Settings) -> None:
    store = Away(redis, platform_settings)
    version = make_version(concurrency=1, limits=make_limits())
    announce_node(redis, "n1")
    start_instance(redis, version, "x1", "n1")
    assert store.admit(make_invocation(version, "i1")).assignment is not None
    seq = store.begin("i1", 1, "n1", "x1")
    chunk = Chunk.of({"delta": {"text": "t", "tokens": [1]}})
    assert store.append_each([Append("i1", 1, seq, (chunk,))]) == [True]
    store.lose("i1", 1, "it died", InstanceLost("it died"))
    [again] = store.claim("x1")
    intake = Intake(redis, store, "n1")
    with pytest.raises(Unavailable):
        intake.begin("i1", again.epoch, "x1")
    assert store.get("i1").state is InvocationState.RUNNING  # nobody else will be told of it
    assert store.claim("x1") == []
    work: Any = intake.begin("i1", again.epoch, "x1")
    assert work is not None
    assert [output["delta"]["tokens"] for output in work.history.outputs] == [[1]]
    assert store.append_each([Append("i1", again.epoch, work.next_seq, (chunk,))]) == [True]
