"""How long a start would take on each node: queue + bytes / bandwidth + initialisation. Pure.

After ServerlessLLM (Fu et al., OSDI'24, section 5.1), with the remote tier, live templates, loads already under way,
and an initialisation learnt for each function and way. All figures are measured: see `router/learnt.py`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quickthaw_platform.contracts import AllocationRequest, FunctionStats, Option, Way
from quickthaw_platform.router.table import Floats, Table

WAYS = tuple(Way)
ASSUMED_INIT_SECONDS: Mapping[Way, float] = {
    Way.ASLEEP: 0.05, Way.PRIMED: 0.09, Way.TEMPLATE: 0.1, Way.DRAM: 0.5, Way.DISK: 0.5, Way.REMOTE: 0.6
}  # fmt: skip
"""Of a function that has never started so."""

FORK_SHARE = 0.5
"""What a start by a live template, never measured, takes of one that has to make the template."""

PRIMED_SHARE = 0.9
"""What a start by a primed template takes at most of one by a template that is not: the first prompt is not in the
figures, and a primed start has most of that done.
"""

WAKE_SHARE = 0.5
"""What a start by waking a process, never measured, takes of one by a template."""

UNKNOWN_START_SECONDS = 1.0
"""What a start is taken to last until one was measured."""

_CODE = {way: code for code, way in enumerate(WAYS)}
_UNKNOWN = FunctionStats()


@dataclass(frozen=True, slots=True)
class Estimates:
    """One entry a node, in seconds; infinite where the node cannot get at the checkpoint."""

    way: NDArray[np.int8]  # index into WAYS
    queue: Floats
    load: Floats
    init: Floats
    total: Floats  # from now until the instance serves

    def option(self, node: str, row: int, room_seconds: float = 0.0, verdict: str = "") -> Option:
        """Return one node's as a record."""
        way = WAYS[self.way.item(row)]
        return Option(node, way, self.queue.item(row), self.load.item(row), self.init.item(row), room_seconds, verdict)


def estimate(request: AllocationRequest, stats: FunctionStats | None, table: Table) -> Estimates:
    """Estimate a start on every node, each by the nearest copy that it has."""
    size, checkpoint = request.checkpoint_bytes, request.checkpoint
    seconds = _init_seconds(stats or _UNKNOWN)
    way, init = np.empty(len(table), np.int8), np.empty(len(table))
    way.fill(_CODE[Way.REMOTE])
    init.fill(seconds[_CODE[Way.REMOTE]])
    queue = table.queue(Way.REMOTE)
    load = size / table.bandwidth[Way.REMOTE]
    fetchable = table.fetchable(checkpoint)
    if fetchable is not None:
        load[~fetchable] = np.inf
    for row, found in table.holders.get(checkpoint, _NOWHERE).items():
        queue[row], load[row] = _near(table, row, found, size)
        way[row], init[row] = _CODE[found], seconds[_CODE[found]]
    for row in table.standing_by[Way.PRIMED].get(request.version, _NONE):
        queue[row] = load[row] = 0.0
        way[row], init[row] = _CODE[Way.PRIMED], seconds[_CODE[Way.PRIMED]]
    for row, end in table.arriving.get(checkpoint, _NEVER).items():
        queue[row], load[row] = 0.0, max(0.0, end - table.now)
        if WAYS[way[row]].loads:  # a template may be there before its weights are
            way[row], init[row] = _CODE[Way.DRAM], seconds[_CODE[Way.DRAM]]
    for row in table.standing_by[Way.ASLEEP].get(request.version, _NONE):  # it has weights of its own
        queue[row] = load[row] = 0.0
        way[row], init[row] = _CODE[Way.ASLEEP], seconds[_CODE[Way.ASLEEP]]
    return Estimates(way, queue, load, init, queue + load + init)


_NOWHERE: Mapping[int, Way] = {}
_NEVER: Mapping[int, float] = {}
_NONE: Collection[int] = ()


def _near(table: Table, row: int, way: Way, size: int) -> tuple[float, float]:
    if way is Way.TEMPLATE:
        return 0.0, 0.0
    queue = max(0.0, table.lane_ends[way].item(row) - table.now) if way is Way.DISK else 0.0
    return queue, size / table.bandwidth[way].item(row)


def usual_start_seconds(stats: FunctionStats) -> float:
    """Return what a start takes by the nearest way that was measured: the weights of what ran lately are near."""
    return next((stats.init_seconds[way] for way in WAYS if way in stats.init_seconds), UNKNOWN_START_SECONDS)


def _init_seconds(stats: FunctionStats) -> list[float]:
    """Return the initialisation by way; where one was never measured, that of another with a load."""
    known = stats.init_seconds
    loaded = next((known[way] for way in (Way.DRAM, Way.DISK, Way.REMOTE) if way in known), None)
    assumed = ASSUMED_INIT_SECONDS
    if loaded is not None:
        assumed = dict.fromkeys(WAYS, loaded) | {Way.TEMPLATE: FORK_SHARE * loaded}
    found = {way: known.get(way, assumed[way]) for way in WAYS}
    found[Way.PRIMED] = min(known.get(Way.PRIMED, math.inf), PRIMED_SHARE * found[Way.TEMPLATE])
    found[Way.ASLEEP] = known.get(Way.ASLEEP, WAKE_SHARE * found[Way.TEMPLATE])
    return list(found.values())
