"""The view of the cluster in memory: columns and records that follow each change, so that nothing is built anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar, overload

from quickthaw.types import Version
from quickthaw_platform.contracts import (
    ClusterView,
    FunctionStats,
    InstanceState,
    InstanceView,
    NodeView,
    Running,
    Start,
    Way,
)
from quickthaw_platform.router.table import Table

_T = TypeVar("_T")


class _Waiting(Protocol):
    id: str
    created_at: float


class _Queue(Protocol):
    def __len__(self) -> int: ...

    def head(self) -> _Waiting | None: ...


class _Call(Protocol):
    tokens: int
    started_at: float


@dataclass(slots=True, eq=False)
class Instance:
    """An instance as the store in memory holds it. Times are the clock's."""

    id: str
    version: Version
    node: str
    row: int
    state: InstanceState
    concurrency: int
    memory_bytes: int
    way: Way | None
    loaded_at: float  # when its weights will have been read, by the estimate
    ready_at: float  # when it will serve, by the estimate
    checkpoint_bytes: int = 0
    leases: dict[str, int] = field(default_factory=dict)
    idle_since: float | None = None
    counted_idle: int = 0  # bytes that stand for it in the table's idle column
    counted_leaving: int = 0
    room_for: str = ""  # the version that its room is kept for when it is gone
    after: tuple[str, ...] = ()  # instances that make room for it
    given: int = 0  # bytes that it has handed over to one it makes room for

    @classmethod
    def starting(
        cls,
        identity: str,
        version: Version,
        start: Start,
        memory_bytes: int,
        checkpoint_bytes: int,
        row: int,
        now: float,
    ) -> Instance:
        """Return one that has just been reserved."""
        return cls(
            identity, version, start.node, row, InstanceState.STARTING, version.spec.concurrency, memory_bytes,
            start.way, now + start.load_seconds, now + (start.estimate_seconds or 0.0), checkpoint_bytes,
            after=start.retire,
        )  # fmt: skip


class LiveTable(Table):
    """Columns that are kept up."""

    def __init__(self, capacity: int, versions: Mapping[str, Mapping[str, Instance]]) -> None:
        super().__init__(capacity)
        self.on_node: defaultdict[int, dict[str, Instance]] = defaultdict(dict)
        self.movable: Mapping[str, _Call] | None = None
        self._versions = versions

    def node(self, identity: str) -> NodeView:
        """Return a node's record."""
        return self.rows[self.index[identity]].node

    def version_instances(self, version: str) -> Sequence[InstanceView]:
        """Return the version's instances, as of `now`."""
        return [self.show(instance) for instance in self._versions.get(version, {}).values()]

    def node_instances(self, row: int) -> Sequence[InstanceView]:
        """Return a node's instances, as of `now`."""
        return [self.show(instance) for instance in self.on_node[row].values()]

    def show(self, instance: Instance) -> InstanceView:
        """Return an instance as policies see it."""
        starting = instance.state is InstanceState.STARTING
        return InstanceView(
            id=instance.id,
            function=instance.version.function,
            version=instance.version.id,
            node=instance.node,
            state=instance.state,
            concurrency=instance.concurrency,
            in_use=len(instance.leases),
            memory_bytes=instance.memory_bytes,
            idle_seconds=0.0 if instance.idle_since is None else self.now - instance.idle_since,
            checkpoint=instance.version.checkpoint,
            checkpoint_bytes=instance.checkpoint_bytes,
            running=self._running(instance),
            way=instance.way,
            load_seconds=max(0.0, instance.loaded_at - self.now) if starting else 0.0,
            start_seconds=max(0.0, instance.ready_at - self.now) if starting else 0.0,
            min_instances=instance.version.spec.min_instances,
            dedicated=instance.version.spec.replicas is not None,
        )

    def add(self, instance: Instance) -> None:
        """Take a new instance in."""
        self.on_node[instance.row][instance.id] = instance
        self.free[instance.row] -= instance.memory_bytes
        self.starting[instance.row] += 1
        if instance.way is not None and instance.way.loads:
            self.begin_load(instance.id, instance.node, instance.version.checkpoint, instance.way, instance.loaded_at)

    def remove(self, instance: Instance) -> None:
        """Take an instance out."""
        self.on_node[instance.row].pop(instance.id, None)
        if instance.state is InstanceState.STARTING:
            self._started(instance)
        self.busy[instance.row] -= len(instance.leases)
        self.idle[instance.row] -= instance.counted_idle
        instance.counted_idle = 0
        self.hand_over(instance, instance.memory_bytes)

    def hand_over(self, instance: Instance, given: int) -> None:
        """Let others reserve some of what the instance has; less than nothing: have it back."""
        self.free[instance.row] += given
        instance.memory_bytes -= given
        if instance.state is InstanceState.DRAINING:
            self.leaving[instance.row] += instance.memory_bytes - instance.counted_leaving
            instance.counted_leaving = instance.memory_bytes

    def set_state(self, instance: Instance, state: InstanceState) -> None:
        """Move an instance on in its life."""
        if instance.state is InstanceState.STARTING:
            self._started(instance)
        instance.state = state
        if state is InstanceState.DRAINING:
            instance.counted_leaving = instance.memory_bytes
            self.leaving[instance.row] += instance.memory_bytes
        self._count_idle(instance)

    def leased(self, instance: Instance) -> None:
        """Note that an instance has got one more lease."""
        instance.idle_since = None
        self.busy[instance.row] += 1
        self._count_idle(instance)

    def freed(self, instance: Instance, now: float) -> None:
        """Note that an instance has lost a lease."""
        self.busy[instance.row] -= 1
        if not instance.leases:
            instance.idle_since = now
        self._count_idle(instance)

    def _count_idle(self, instance: Instance) -> None:
        idle = instance.state is InstanceState.READY and not instance.leases
        counted = instance.memory_bytes if idle else 0
        if counted != instance.counted_idle:
            self.idle[instance.row] += counted - instance.counted_idle
            instance.counted_idle = counted

    def _started(self, instance: Instance) -> None:
        self.starting[instance.row] -= 1
        self.end_load(instance.id, instance.node)

    def _running(self, instance: Instance) -> tuple[Running, ...]:
        if self.movable is None:
            return ()
        calls = ((name, self.movable[name]) for name in instance.leases)
        return tuple(Running(name, call.tokens, self.now - call.started_at) for name, call in calls)


class _Instances(Sequence[InstanceView]):
    """All instances, made when they are looked at."""

    def __init__(self, table: LiveTable, instances: Mapping[str, Instance]) -> None:
        self._table = table
        self._instances = instances

    def __len__(self) -> int:
        return len(self._instances)

    def __iter__(self) -> Iterator[InstanceView]:
        return (self._table.show(instance) for instance in self._instances.values())

    @overload
    def __getitem__(self, index: int) -> InstanceView: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[InstanceView]: ...
    def __getitem__(self, index: int | slice) -> InstanceView | Sequence[InstanceView]:
        return list(self)[index]


class _Nodes(Sequence[NodeView]):
    """All nodes that are in play."""

    def __init__(self, table: LiveTable) -> None:
        self._table = table

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return any(True for _ in self)

    def __iter__(self) -> Iterator[NodeView]:
        return (row.node for i, row in enumerate(self._table.rows) if self._table.memory[i])

    @overload
    def __getitem__(self, index: int) -> NodeView: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[NodeView]: ...
    def __getitem__(self, index: int | slice) -> NodeView | Sequence[NodeView]:
        return list(self)[index]


class _OfQueues(Mapping[str, _T], Generic[_T]):
    """A figure of each version's queue, worked out when it is asked for."""

    def __init__(self, queues: Mapping[str, _Queue], figure: Callable[[_Queue], _T]) -> None:
        self._queues = queues
        self._figure = figure

    def __getitem__(self, version: str) -> _T:
        queue = self._queues.get(version)
        if queue is None or not len(queue):
            raise KeyError(version)
        return self._figure(queue)

    def __iter__(self) -> Iterator[str]:
        return (version for version, queue in self._queues.items() if len(queue))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def live_view(
    table: LiveTable,
    instances: Mapping[str, Instance],
    queues: Mapping[str, _Queue],
    functions: Mapping[str, FunctionStats],
    clock: Callable[[], float],
) -> ClusterView:
    """Return a view that shows whatever is the case when it is looked at."""

    def waited(queue: _Queue) -> float:
        head = queue.head()
        return 0.0 if head is None else clock() - head.created_at

    return ClusterView(
        nodes=_Nodes(table),
        instances=_Instances(table, instances),
        waiting=_OfQueues[int](queues, len),
        waited=_OfQueues(queues, waited),
        functions=functions,
        memo={"table": table},
    )
