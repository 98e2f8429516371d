"""Steps of the gateways on behalf of callers."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from quickthaw_platform.errors import QueueFull
from tests.state import make_invocation
from tests.unit.invocations.interleaved.state import PICKS, QUEUE_SIZE, WEIGHTS, PlatformState


class Callers(PlatformState):
    """Calls are admitted, once or twice, and cancelled."""

    @rule(repeated=st.booleans(), key=st.sampled_from(list(WEIGHTS)))
    def admit(self, repeated: bool, key: str) -> None:
        new = make_invocation(self.version, f"i{len(self.ids)}", key_id=key or None, key_weight=WEIGHTS[key])
        try:
            admission = self.store.admit(new)
        except QueueFull:
            assert self.queues.waiting()["v1"] >= QUEUE_SIZE
            return
        self.ids.append(new.id)
        self.keys[new.id] = key
        if repeated:
            assert self.store.admit(new) == admission
        if admission.assignment:
            assert not self.queues.waiting()
            self.take([admission.assignment])

    @rule(pick=PICKS)
    @precondition(lambda self: self.ids)
    def cancel(self, pick: int) -> None:
        stopped = self.store.cancel(self.known(pick), "enough")
        self.take([stopped.next])
