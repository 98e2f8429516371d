"""The columns of a view, filled once from what was read of the cluster. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import cast

from quickthaw_platform.contracts import ClusterView, InstanceState, InstanceView, NodeView, Way
from quickthaw_platform.router.table import Table, is_idle


class ViewTable(Table):
    """The columns of a view as it was read."""

    def __init__(self, view: ClusterView) -> None:
        super().__init__(len(view.nodes))
        self._versions: defaultdict[str, list[InstanceView]] = defaultdict(list)
        self._nodes: defaultdict[int, list[InstanceView]] = defaultdict(list)
        for node in sorted(view.nodes, key=lambda node: node.id):  # of equals the first by name
            i = self.put_node(node)
            self.free[i] = node.memory_free_bytes
            if node.kept_for:
                self.kept[i] = (node.kept_for, node.kept_bytes)
            self._take_arriving(i, node)
        for instance in view.instances:
            self._take_instance(instance)

    def version_instances(self, version: str) -> Sequence[InstanceView]:
        """Return the version's instances."""
        return self._versions.get(version, ())

    def node_instances(self, row: int) -> Sequence[InstanceView]:
        """Return a node's instances."""
        return self._nodes.get(row, ())

    def _take_instance(self, instance: InstanceView) -> None:
        self._versions[instance.version].append(instance)
        i = self.index.get(instance.node)
        if i is None:
            return
        self._nodes[i].append(instance)
        self.busy[i] += instance.in_use
        if instance.state is InstanceState.STARTING:
            self.starting[i] += 1
            if instance.way is not None and instance.load_seconds > 0:
                self.begin_load(instance.id, instance.node, instance.checkpoint, instance.way, instance.load_seconds)
        elif instance.state is InstanceState.DRAINING:
            self.leaving[i] += instance.memory_bytes
        elif is_idle(instance):
            self.idle[i] += instance.memory_bytes

    def _take_arriving(self, i: int, node: NodeView) -> None:
        """Take the node's own word on what is arriving; a start's estimate, where there is one, replaces it."""
        for checkpoint, left in node.tiers.arriving.items():
            lane = Way.DISK if checkpoint in node.checkpoints else Way.REMOTE
            seconds = left / self.bandwidth[lane][i]
            self.arriving[checkpoint][i] = seconds
            self.lane_ends[lane][i] = max(self.lane_ends[lane][i], seconds)


def table_of(view: ClusterView) -> Table:
    """Return the view's columns, made when they are first asked for."""
    table = view.memo.get("table")
    if table is None:
        table = view.memo["table"] = ViewTable(view)
    return cast("Table", table)
