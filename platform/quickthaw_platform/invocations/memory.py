"""The cluster's state in this process's memory: what the Lua scripts do in Redis, for the simulator and for tests.

Same methods, same answers, same order of service; one contract suite runs over both. Nothing here is durable.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from quickthaw.types import InvocationState, Version
from quickthaw_platform.contracts import (
    ClusterView,
    FunctionStats,
    InstanceState,
    MigrationCost,
    NodeState,
    NodeView,
    Start,
)
from quickthaw_platform.errors import QueueFull
from quickthaw_platform.invocations.live_view import Instance, LiveTable, live_view
from quickthaw_platform.invocations.memory_queue import Call, Queues
from quickthaw_platform.invocations.records import Admission, Assignment, Finished, Lease, Lost, Stopped
from quickthaw_platform.invocations.served import Served

KEPT_SECONDS = 5.0
"""As in remove.lua."""

_ORDER = {state: rank for rank, state in enumerate(InstanceState)}
_OPEN = (InstanceState.LOADED, InstanceState.READY)
_ENDED = frozenset(state for state in InvocationState if state.ended)


class MemoryCluster:
    """For one thread. `clock` gives seconds; `remember_ended`: keep the records of invocations that have ended."""

    def __init__(
        self, clock: Callable[[], float], *, max_attempts: int = 2, remember_ended: bool = True, capacity: int = 16
    ) -> None:
        self._clock = clock
        self._max_attempts = max_attempts
        self._remember_ended = remember_ended
        self._arrivals = 0
        self.calls: dict[str, Call] = {}
        self.instances: dict[str, Instance] = {}
        self.queues = Queues()
        self.versions: defaultdict[str, dict[str, Instance]] = defaultdict(dict)
        self.reasons: dict[str, tuple[str, float | None]] = {}  # why versions wait, and an estimate in seconds
        self.functions: dict[str, FunctionStats] = {}
        self._served: defaultdict[str, Served] = defaultdict(Served)  # by version
        self._kept: dict[int, tuple[str, int, float]] = {}  # row to a version, the bytes kept for it, and until when
        self.table = LiveTable(capacity, self.versions)
        self._view = live_view(self.table, self.instances, self.queues.busy, self.functions, clock)

    def view(self, function: str | None = None) -> ClusterView:  # noqa: ARG002 - the store in Redis reads by function
        """Return the cluster as it is now: the same object each time, which follows what happens."""
        self.table.now = self._clock()
        self._show_kept()
        return self._view

    def allow_migration(self, cost: MigrationCost) -> None:
        """Let policies move running invocations, at this cost."""
        self._view = replace(self._view, migration=cost)
        self.table.movable = self.calls

    def join(self, node: NodeView) -> None:
        """Enter a node, or all that has changed of it; `memory_free_bytes` is worked out from its instances."""
        self.table.put_node(node)

    def change(self, node: str, **fields: Any) -> None:
        """Change some of a node's fields."""
        self.table.put_node(replace(self.table.node(node), **fields))

    def leave(self, node: str) -> list[Lease]:
        """Forget a node with its instances; returns the leases that they held, for the caller to settle (`lose`)."""
        gone = list(self.table.on_node[self.table.index[node]].values())
        leases = [lease for instance in gone for lease in self.remove(instance.id)]
        self._kept.pop(self.table.index[node], None)
        self.table.drop_node(node)
        return leases

    def admit(
        self, identity: str, version: Version, key: str = "", weight: float = 1.0, beginnings: Sequence[str] = ()
    ) -> Admission:
        """Accept a call: lease it a slot where one is free and nothing waits before it, else queue it; QueueFull.

        `beginnings` of its prompt, longest first, lead it to the instance that was given one of them last.
        """
        if identity in self.calls:
            return self._again(self.calls[identity])
        queue = self.queues[version.id]
        familiar = self._familiar_with_room(version.id, beginnings) if not len(queue) else None
        instance = familiar or (self._fullest_with_room(version.id) if not len(queue) else None)
        if instance is None and len(queue) >= version.spec.queue_size:
            raise QueueFull(f"{len(queue)} invocations of {version.function!r} are waiting, as many as it allows")
        self._arrivals += 1
        call = self.calls[identity] = Call(identity, version, self._arrivals, self._clock(), beginnings=beginnings)
        if instance is not None:
            queue.pass_by(call)
            return Admission(assignment=self._lease(call, instance), familiar=familiar is not None)
        return Admission(position=queue.add(call, key, weight))

    def begin(self, identity: str, epoch: int, node: str, instance: str) -> int:
        """Move assigned to running; 0 when the caller is not its owner (now)."""
        call = self.calls.get(identity)
        if call is None or call.epoch != epoch or call.instance is None:
            return 0
        if (call.instance.id, call.instance.node) != (instance, node):
            return 0
        if call.state is InvocationState.ASSIGNED:
            call.state = InvocationState.RUNNING
            call.started_at = self._clock()
        return int(call.state is InvocationState.RUNNING)

    def finish(self, identity: str, epoch: int, state: InvocationState) -> Finished:
        """End an invocation; the freed slot goes to the head of the queue."""
        call = self.calls.get(identity)
        if call is None or call.epoch != epoch or call.state in _ENDED:
            return Finished(done=False)
        return Finished(True, self._close(call, state))

    def cancel(self, identity: str, state: InvocationState = InvocationState.CANCELLED) -> Stopped:
        """End an invocation whoever owns it."""
        call = self.calls.get(identity)
        if call is None or call.state in _ENDED:
            return Stopped(done=False)
        owner = call.instance
        following = self._close(call, state)
        return Stopped(True, owner.node if owner else None, owner.id if owner else None, following)

    def lose(self, identity: str, epoch: int) -> Lost:
        """Settle an invocation whose owner is gone: queue it again in its old place, or fail it; see store.lose."""
        call = self.calls.get(identity)
        owned = (InvocationState.ASSIGNED, InvocationState.RUNNING)
        if call is None or call.epoch != epoch or call.state not in owned:
            return Lost.STALE
        began = call.state is InvocationState.RUNNING
        call.losses += began
        if call.losses >= self._max_attempts or (began and not call.version.spec.resumable):
            self._close(call, InvocationState.FAILED)
            return Lost.FAILED
        self._free(call)
        call.state, call.epoch = InvocationState.QUEUED, call.epoch + 1
        self.queues[call.version.id].put_back(call)
        return Lost.REQUEUED

    def claim(self, instance: str) -> list[Assignment]:
        """Lease the free slots of a loaded or ready instance to what waits, in order."""
        found = self.instances.get(instance)
        return [] if found is None else self._fill(found, found.concurrency)

    def reserve(
        self, version: Version, start: Start, instance: str, memory_bytes: int, checkpoint_bytes: int, serving: int
    ) -> bool:
        """Make the record of an instance that is to start, those in `start.retire` leaving; see SlotStore.reserve."""
        row = self.table.index.get(start.node)
        if instance in self.instances:
            return True
        if row is None or not self.table.ready[row]:
            return False
        leaving = [self.instances[name] for name in start.retire if name in self.instances]
        if len(leaving) < len(start.retire) or not all(self._may_leave(other, start.node) for other in leaving):
            return False
        self._show_kept()
        count, free = self._serving(version.id), int(self.table.free_at(row, version.id))
        room = free + sum(other.memory_bytes for other in leaving)
        if count != serving or count >= version.spec.max_instances or room < memory_bytes:
            return False
        missing = max(0, memory_bytes - free)
        for other in leaving:
            given = min(missing, other.memory_bytes)
            missing, other.given = missing - given, given
            self.table.set_state(other, InstanceState.DRAINING)
            self.table.hand_over(other, given)
        if row in self._kept and self._kept[row][0] == version.id:
            del self._kept[row]
        made = Instance.starting(instance, version, start, memory_bytes, checkpoint_bytes, row, self._clock())
        before = [name for other in leaving for name in other.after if name in self.instances]
        made.after = (*start.retire, *before)  # what `leaving` waited for may still be there
        self.instances[instance] = self.versions[version.id][instance] = made
        self.table.add(made)
        return True

    def loaded(self, instance: str) -> bool:
        """Let the instance take what waits. False: it was forgotten or drains."""
        return self._advance(instance, InstanceState.LOADED)

    def ready(self, instance: str) -> bool:
        """Let newcomers lease the instance's slots too. False: it was forgotten or drains."""
        return self._advance(instance, InstanceState.READY)

    def drain(self, instance: str, room_for: str = "") -> bool:
        """Lease the instance's slots no more. False: there is no such instance. `room_for`: see SlotStore.drain."""
        return self._advance(instance, InstanceState.DRAINING, room_for)

    def retire(self, instance: str, keep: int = 0) -> bool:
        """Drain a ready instance that holds no lease and that nothing waits for; True: it may be stopped now."""
        found = self.instances.get(instance)
        if found is None or found.leases:
            return False
        if found.state is InstanceState.DRAINING:
            return True
        if found.state is not InstanceState.READY or len(self.queues[found.version.id]):
            return False
        if sum(other.state in _OPEN for other in self.versions[found.version.id].values()) <= keep:
            return False
        self.table.set_state(found, InstanceState.DRAINING)
        return True

    def remove(self, instance: str) -> list[Lease]:
        """Forget the instance; returns the leases it held, for the caller to settle."""
        found = self.instances.pop(instance, None)
        if found is None:
            return []
        self.versions[found.version.id].pop(instance, None)
        if not self.versions[found.version.id]:
            self._served.pop(found.version.id, None)
        held = found.memory_bytes
        for other in (self.instances[name] for name in found.after if name in self.instances):
            back = min(held, other.given)
            held, other.given = held - back, other.given - back
            self.table.hand_over(other, -back)
        if found.room_for:
            self._kept[found.row] = (found.room_for, held, self._clock() + KEPT_SECONDS)
        self.table.remove(found)
        return [Lease(name, epoch) for name, epoch in found.leases.items()]

    def explain(
        self,
        version: str,
        reason: str,
        estimate_seconds: float | None = None,
        slots: int = 0,  # noqa: ARG002 - places further back are not asked for here
        service_seconds: float | None = None,  # noqa: ARG002
    ) -> None:
        """Say why the version's queue waits."""
        self.reasons[version] = (reason, estimate_seconds)

    def fail_waiting(self, version: str, reason: str) -> list[str]:
        """Fail all that waits for the version; returns the ids, in order."""
        self.reasons[version] = (reason, None)
        failed = []
        while (call := self.queues[version].take()) is not None:
            self._close(call, InvocationState.FAILED)
            failed.append(call.id)
        return failed

    def waiting(self) -> dict[str, int]:
        """Return how many invocations wait for each version that has any."""
        return {version: len(queue) for version, queue in self.queues.busy.items()}

    def _again(self, call: Call) -> Admission:
        if call.state is InvocationState.QUEUED:
            return Admission(position=self.queues[call.version.id].position(call))
        if call.state is InvocationState.ASSIGNED and call.instance is not None:
            return Admission(assignment=_assignment(call, call.instance))
        return Admission(duplicate_of=call.id)

    def _fullest_with_room(self, version: str) -> Instance | None:
        found = self._with_room(version)
        return min(found, key=lambda i: (i.concurrency - len(i.leases), i.id), default=None) if found else None

    def _familiar_with_room(self, version: str, beginnings: Sequence[str]) -> Instance | None:
        found = {i.id: i for i in self._with_room(version)} if beginnings else {}
        if len(found) < 2:
            return None
        most = max(map(self._room, found.values()))
        even = {name for name, i in found.items() if most - self._room(i) <= i.concurrency / 2}
        return next((found[name] for name in self._served[version].instances(beginnings) if name in even), None)

    def _with_room(self, version: str) -> list[Instance]:
        return [i for i in self.versions[version].values() if i.state is InstanceState.READY and self._room(i)]

    def _room(self, instance: Instance) -> int:
        return instance.concurrency - len(instance.leases) if self.table.ready[instance.row] else 0

    def _fill(self, instance: Instance, most: int) -> list[Assignment]:
        if instance.state not in _OPEN:
            return []
        leased: list[Assignment] = []
        queue = self.queues[instance.version.id]
        while len(leased) < most and self._room(instance) > 0 and (call := queue.take()) is not None:
            leased.append(self._lease(call, instance))
        return leased

    def _lease(self, call: Call, instance: Instance) -> Assignment:
        call.state, call.instance = InvocationState.ASSIGNED, instance
        instance.leases[call.id] = call.epoch
        if call.beginnings:
            self._served[call.version.id].note(call.beginnings, instance.id)
        self.table.leased(instance)
        return _assignment(call, instance)

    def _free(self, call: Call) -> Instance | None:
        instance, call.instance = call.instance, None
        if instance is None or instance.leases.pop(call.id, None) is None:
            return None
        if instance.id in self.instances:
            self.table.freed(instance, self._clock())
        return instance

    def _close(self, call: Call, state: InvocationState) -> Assignment | None:
        self.queues[call.version.id].drop(call)
        call.state = state
        instance = self._free(call)
        if not self._remember_ended:
            del self.calls[call.id]
        if instance is None or instance.id not in self.instances:
            return None
        return next(iter(self._fill(instance, 1)), None)

    def _may_leave(self, instance: Instance, node: str) -> bool:
        idle = instance.state is InstanceState.READY and not instance.leases
        return idle and instance.node == node and not len(self.queues[instance.version.id])

    def _serving(self, version: str) -> int:
        return sum(
            other.state is not InstanceState.DRAINING and self._node_ready(other)
            for other in self.versions[version].values()
        )

    def _node_ready(self, instance: Instance) -> bool:
        return self.table.rows[instance.row].node.state is NodeState.READY

    def _show_kept(self) -> None:
        """Have the table show the room that is kept: not what nothing waits for, nor what was kept for long."""
        if self._kept or self.table.kept:
            now = self._clock()
            self.table.kept = {
                row: (version, size)
                for row, (version, size, until) in self._kept.items()
                if until >= now and len(self.queues[version])
            }

    def _advance(self, instance: str, state: InstanceState, room_for: str = "") -> bool:
        found = self.instances.get(instance)
        if found is None or (found.state is InstanceState.DRAINING and state is not InstanceState.DRAINING):
            return False
        if _ORDER[state] > _ORDER[found.state]:
            self.table.set_state(found, state)
            found.room_for = room_for
        if not found.leases and found.idle_since is None:
            found.idle_since = self._clock()
        return True


def _assignment(call: Call, instance: Instance) -> Assignment:
    return Assignment(call.id, call.epoch, instance.id, instance.node, 0)
