"""Steps of instances and of the agents that supervise them."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from quickthaw.types import InvocationState
from quickthaw_platform.invocations.records import Chunk, Lost
from tests.unit.invocations.interleaved.state import EPOCHS, LOST, NEWCOMER_BYTES, PICKS, PlatformState


class Agents(PlatformState):
    """Instances start, work and die; what their agents write may be late or repeated."""

    @rule()
    def reserve(self) -> None:
        self.reserve_instance()

    @rule(picked=st.sets(PICKS, min_size=1, max_size=2))
    @precondition(lambda self: self.instances)
    def reserve_in_place_of_others(self, picked: set[int]) -> None:
        """All or nothing: they are idle and leave enough, or none of them drains."""
        name, leaving = f"x{len(self.instances)}", sorted({self.instance(pick) for pick in picked})
        views = [self.slots.get(other) for other in leaving]
        waiting = self.queues.waiting()
        idle = all(v and v.state == "ready" and not v.in_use and v.version not in waiting for v in views)
        enough = self.free_bytes() + sum(v.memory_bytes for v in views if v) >= NEWCOMER_BYTES
        before = self.slots.instances()
        done = self.slots.reserve(self.other, "n1", name, NEWCOMER_BYTES, retire=leaving)
        assert done == (idle and enough)
        if done:
            self.instances.append(name)
            assert {view.state for view in self.slots.instances() if view.id in leaving} == {"draining"}
        else:
            assert [view.state for view in self.slots.instances()] == [view.state for view in before]

    @rule(pick=PICKS, step=st.sampled_from(["loaded", "ready", "ready", "ready", "drain"]))
    @precondition(lambda self: self.instances)
    def advance(self, pick: int, step: str) -> None:
        getattr(self.slots, step)(self.instance(pick))

    @rule(pick=PICKS)
    @precondition(lambda self: self.instances)
    def claim(self, pick: int) -> None:
        self.take(self.store.claim(self.instance(pick)))

    @rule(pick=PICKS, late=EPOCHS)
    @precondition(lambda self: self.ids)
    def start_work(self, pick: int, late: int) -> None:
        info = self.store.get(self.known(pick))
        seq = self.store.begin(info.id, info.epoch - late, info.node or "n1", info.instance or "x0")
        assert bool(seq) == (late == 0 and info.state in ("assigned", "running"))
        if seq:
            assert seq == len(self.log(info.id)) + 1
            self.next_seq[info.id] = seq

    @rule(pick=PICKS, late=EPOCHS, count=st.integers(1, 3), repeated=st.booleans())
    @precondition(lambda self: self.ids)
    def append(self, pick: int, late: int, count: int, repeated: bool) -> None:
        info = self.store.get(self.known(pick))
        seq = self.next_seq.get(info.id, 1)
        chunks = [Chunk.of({"value": seq + i}) for i in range(count)]
        for _ in range(2 if repeated else 1):
            written = self.store.append(info.id, info.epoch - late, seq, chunks)
            assert written == (late == 0 and info.state == "running")
        if written:
            self.next_seq[info.id] = seq + count

    @rule(pick=PICKS, late=EPOCHS, repeated=st.booleans(), good=st.booleans())
    @precondition(lambda self: self.ids)
    def finish(self, pick: int, late: int, repeated: bool, good: bool) -> None:
        info = self.store.get(self.known(pick))
        state = InvocationState.SUCCEEDED if good else InvocationState.FAILED
        error = None if good else LOST.to_json()
        done = self.store.finish(info.id, info.epoch - late, state, result=1, error=error)
        assert done.done == (late == 0 and (not info.state.ended or info.state == state))
        self.take([done.next])
        if repeated:
            again = self.store.finish(info.id, info.epoch - late, state, result=1, error=error)
            assert again.done == done.done
            assert again.next is None

    @rule(pick=PICKS)
    @precondition(lambda self: self.instances)
    def kill_instance(self, pick: int) -> None:
        """Its agent, or the controller, settles what it held: with the queue full or empty, in any order."""
        for lease in self.slots.remove(self.instance(pick)):
            self.store.lose(lease.invocation, lease.epoch, "lost", LOST)

    @rule(pick=PICKS)
    @precondition(lambda self: self.instances)
    def kill_instance_and_agent(self, pick: int) -> None:
        """Nobody settles what it held, until a sweep finds it."""
        self.slots.remove(self.instance(pick))

    @rule(pick=PICKS, late=EPOCHS)
    @precondition(lambda self: self.ids)
    def lose(self, pick: int, late: int) -> None:
        info = self.store.get(self.known(pick))
        owned = info.state in ("assigned", "running")
        lost = self.store.lose(info.id, info.epoch - late, "lost", LOST)
        assert (lost is not Lost.STALE) == (owned and late == 0)
