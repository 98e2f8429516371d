"""The cluster as columns, one row a node, so that a thousand nodes are weighed in some array operations. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from quickthaw.types import Isolation
from quickthaw_platform.cage.levels import at_least
from quickthaw_platform.contracts import InstanceState, InstanceView, NodeState, NodeView, Way

ASSUMED_BYTES_PER_SECOND: Mapping[Way, float] = {Way.DRAM: 10e9, Way.DISK: 1e9, Way.REMOTE: 200e6}
"""Of a node that has not measured it yet."""

LANES = (Way.DRAM, Way.DISK, Way.REMOTE)
"""Where bytes come from. A node reads from disk, and from beyond, one checkpoint after another."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(slots=True)
class Row:
    """What is known of one node beside the columns."""

    node: NodeView
    copies: dict[str, Way] = field(default_factory=dict)  # checkpoints that are nearer than beyond, and where
    standing_by: dict[Way, frozenset[str]] = field(default_factory=dict)  # as entered in `Table.standing_by`
    loads: dict[str, tuple[str, Way, float]] = field(default_factory=dict)  # instance to checkpoint, lane, its end


class Table:
    """Times are measured from the same moment as `now`, which is 0 for what a view shows."""

    def __init__(self, capacity: int = 0) -> None:
        """`capacity`: how many nodes to make room for at once; it grows beyond."""
        self.now = 0.0
        self.index: dict[str, int] = {}
        self.rows: list[Row] = []
        self.ready = np.zeros(capacity, bool)
        self.memory = np.zeros(capacity)
        self.free = np.zeros(capacity)  # bytes that nothing has reserved
        self.idle = np.zeros(capacity)  # bytes that idle instances hold
        self.leaving = np.zeros(capacity)  # bytes that draining instances hold
        self.busy = np.zeros(capacity)  # invocations that run
        self.starting = np.zeros(capacity)  # instances that start
        self.bandwidth = {lane: np.ones(capacity) for lane in LANES}  # bytes/s; rows to come have any
        self.lane_ends = {lane: np.zeros(capacity) for lane in LANES}  # when what is being read will have been
        self.holders: defaultdict[str, dict[int, Way]] = defaultdict(dict)
        self.standing_by = {way: defaultdict[str, set[int]](set) for way in Way if way.is_of_a_version}
        """By way and version, the nodes with a process that waits for the version's starts."""
        self.arriving: defaultdict[str, dict[int, float]] = defaultdict(dict)  # checkpoint to node to its end
        self.kept: dict[int, tuple[str, float]] = {}  # row to the version that room is kept for, and its bytes
        self._remote: dict[int, frozenset[str]] = {}
        self._remote_of = np.zeros(capacity, int)
        self._matching: dict[object, Flags] = {}

    def __len__(self) -> int:
        return len(self.ready)

    def put_node(self, node: NodeView) -> int:
        """Enter a node, or what has changed of it. Instances are entered apart. Returns its row."""
        i = self.index.get(node.id)
        if i is None:
            i = self.index[node.id] = len(self.rows)
            self.rows.append(Row(node))
            if i >= len(self.ready):
                self._grow()
        row, before = self.rows[i], self.rows[i].node
        self.ready[i] = node.state is NodeState.READY
        self.free[i] += node.memory_bytes - self.memory[i]
        self.memory[i] = node.memory_bytes
        for lane in LANES:
            self.bandwidth[lane][i] = node.tiers.bandwidths.get(lane.value) or ASSUMED_BYTES_PER_SECOND[lane]
        if _needed(before) != _needed(node) or row.node is node:
            self._matching.clear()
        row.node = node
        self._put_copies(i, row)
        self._put_standing_by(i, row, Way.PRIMED, node.primed)
        self._put_standing_by(i, row, Way.ASLEEP, node.asleep)
        key = id(node.tiers.remote)
        self._remote[key] = node.tiers.remote
        self._remote_of[i] = key
        return i

    def drop_node(self, node: str) -> None:
        """Take a node out of play; its row stays, for when it comes back."""
        i = self.index[node]
        self.ready[i] = False
        self.memory[i] = self.free[i] = 0.0
        self._forget_copies(i)
        for way in self.standing_by:
            self._put_standing_by(i, self.rows[i], way, frozenset())

    def begin_load(self, instance: str, node: str, checkpoint: str, lane: Way, end: float) -> None:
        """Note that an instance's start has a checkpoint read until `end`."""
        i = self.index[node]
        self.rows[i].loads[instance] = (checkpoint, lane, end)
        self.arriving[checkpoint][i] = end
        if lane in self.lane_ends:
            self.lane_ends[lane][i] = max(self.lane_ends[lane][i], end)

    def end_load(self, instance: str, node: str) -> None:
        """Note that it has been read, or never will be."""
        i = self.index[node]
        loads = self.rows[i].loads
        ended = loads.pop(instance, None)
        if ended is None:
            return
        checkpoint, lane, _ = ended
        others = [end for what, _, end in loads.values() if what == checkpoint]
        if others:
            self.arriving[checkpoint][i] = min(others)
        else:
            self.arriving[checkpoint].pop(i, None)
        if lane in self.lane_ends:
            self.lane_ends[lane][i] = max((end for _, of, end in loads.values() if of is lane), default=0.0)

    def free_for(self, version: str) -> Floats:
        """Return the bytes that each node has free for a version: not what is kept for another."""
        if not self.kept:
            return self.free
        free = self.free.copy()
        for row, (owner, size) in self.kept.items():
            if owner != version:
                free[row] -= size
        return free

    def free_at(self, row: int, version: str) -> float:
        """Return the same of one node."""
        owner, size = self.kept.get(row, (version, 0.0))
        return float(self.free[row]) - (0.0 if owner == version else size)

    def drains(self, node: str) -> bool:
        """Whether a node is there and takes nothing new."""
        row = self.index.get(node)
        return row is not None and self.rows[row].node.state is NodeState.DRAINING

    def queue(self, lane: Way) -> Floats:
        """Return how many seconds each node still reads from a lane."""
        return cast("Floats", np.maximum(self.lane_ends[lane] - self.now, 0.0))

    def fetchable(self, checkpoint: str) -> Flags | None:
        """Return which nodes can fetch a checkpoint from beyond; None: all."""
        having = [key for key, ids in self._remote.items() if checkpoint in ids]
        return None if len(having) == len(self._remote) else np.isin(self._remote_of, having)

    def matching(self, device: str | None, labels: Mapping[str, str], isolation: Isolation) -> Flags:
        """Return which nodes have the device and all the labels, and isolate their instances at least so far."""
        key = (device, tuple(sorted(labels.items())), isolation)
        if key not in self._matching:
            found = np.zeros(len(self), bool)
            found[: len(self.rows)] = [matches(row.node, device, labels, isolation) for row in self.rows]
            self._matching[key] = found
        return self._matching[key]

    def version_instances(self, version: str) -> Sequence[InstanceView]:
        """Return the version's instances."""
        raise NotImplementedError

    def node_instances(self, row: int) -> Sequence[InstanceView]:
        """Return a node's instances."""
        raise NotImplementedError

    def _put_copies(self, i: int, row: Row) -> None:
        node, copies = row.node, dict[str, Way]()
        copies.update(dict.fromkeys(node.checkpoints, Way.DISK))
        copies.update(dict.fromkeys(node.tiers.dram, Way.DRAM))
        copies.update(dict.fromkeys(node.templates, Way.TEMPLATE))
        if copies == row.copies:
            return
        self._forget_copies(i)
        row.copies = copies
        for checkpoint, way in copies.items():
            self.holders[checkpoint][i] = way

    def _put_standing_by(self, i: int, row: Row, way: Way, versions: frozenset[str]) -> None:
        entered = row.standing_by.get(way, frozenset())
        for version in entered - versions:
            self.standing_by[way][version].discard(i)
        for version in versions - entered:
            self.standing_by[way][version].add(i)
        row.standing_by[way] = versions

    def _forget_copies(self, i: int) -> None:
        for checkpoint in self.rows[i].copies:
            self.holders[checkpoint].pop(i, None)
        self.rows[i].copies = {}

    def _grow(self) -> None:
        """Double the rows of each column."""
        more = max(16, len(self))
        self._matching.clear()
        for name in ("ready", "memory", "free", "idle", "leaving", "busy", "starting", "_remote_of"):
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.zeros(more, column.dtype)]))
        for lane in LANES:
            self.bandwidth[lane] = np.concatenate([self.bandwidth[lane], np.ones(more)])
            self.lane_ends[lane] = np.concatenate([self.lane_ends[lane], np.zeros(more)])


def matches(node: NodeView, device: str | None, labels: Mapping[str, str], isolation: Isolation) -> bool:
    """Whether a node has the device and all the labels, and isolates its instances at least so far."""
    if device is not None and node.device.partition(":")[0] != device:
        return False
    if not at_least(node.isolation, isolation):
        return False
    return all(node.labels.get(name) == value for name, value in labels.items())


def _needed(node: NodeView) -> tuple[str, Mapping[str, str], Isolation]:
    """What of a node `matches` looks at."""
    return node.device, node.labels, node.isolation


def is_idle(instance: InstanceView) -> bool:
    """Whether an instance could leave at once."""
    return instance.state is InstanceState.READY and instance.in_use == 0
