"""Steps of the controllers."""

from __future__ import annotations

from hypothesis.stateful import precondition, rule

from quickthaw_platform.errors import StartFailed
from tests.unit.invocations.interleaved.state import FAR_SECONDS, LOST, PICKS, PlatformState


class Controllers(PlatformState):
    """Idle instances are retired, orphans swept up, and what waited too long is ended."""

    @rule(pick=PICKS)
    @precondition(lambda self: self.instances)
    def retire(self, pick: int) -> None:
        name = self.instance(pick)
        view = self.slots.get(name)
        waits = view is not None and view.version in self.queues.waiting()
        retired = self.slots.retire(name)
        if retired:
            assert view is not None
            assert view.in_use == 0
            assert view.state == "draining" or not waits

    @rule()
    def sweep(self) -> None:
        for identity in self.members("qt:active"):
            self.redis.zincrby("qt:active", -FAR_SECONDS, identity)
        for lease in self.watch.orphans():
            self.store.lose(lease.invocation, lease.epoch, "lost", LOST)
        assert not self.watch.orphans()

    @rule(pick=PICKS)
    @precondition(lambda self: self.ids)
    def run_out_of_time(self, pick: int) -> None:
        if self.redis.zscore("qt:deadlines", self.known(pick)) is not None:
            self.redis.zincrby("qt:deadlines", -FAR_SECONDS, self.known(pick))
        for overdue in self.watch.overdue():
            self.take([self.watch.expire(overdue).next])

    @rule()
    def fail_waiting(self) -> None:
        self.queues.fail_waiting("v1", StartFailed("no"))
        assert not self.queues.waiting()
