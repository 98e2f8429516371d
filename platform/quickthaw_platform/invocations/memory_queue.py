"""One version's queue in memory: start-time fair queueing between keys, by arrival within each.

Goyal, Vin and Cheng, SIGCOMM'96: a call's start tag is the later of the queue's virtual time (the tag of what was taken
last) and its key's last finish tag; calls go by start tag. With one key that is the order of arrival.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from quickthaw.types import InvocationState, Version
from quickthaw_platform.invocations.live_view import Instance


@dataclass(slots=True, eq=False)
class Call:
    """An invocation as the store in memory holds it."""

    id: str
    version: Version
    arrival: int
    created_at: float
    state: InvocationState = InvocationState.QUEUED
    epoch: int = 1
    losses: int = 0  # of its instance, while it ran
    rank: float = 0.0
    instance: Instance | None = None
    started_at: float = 0.0
    tokens: int = 0  # of the prompt and the answer so far
    beginnings: Sequence[str] = ()  # of the prompt, longest first; see gateway.beginnings


@dataclass(slots=True)
class FairQueue:
    """Calls that wait, by rank. A dropped one leaves its entry behind, which is passed over."""

    name: str = ""
    busy: dict[str, FairQueue] = field(default_factory=dict)  # where it enters itself while something waits in it
    _heap: list[tuple[float, int, Call]] = field(default_factory=list)
    _waiting: set[Call] = field(default_factory=set)
    top: float = 0.0  # the latest finish tag: what comes when nothing waits begins there, and no key is behind
    _virtual: float = 0.0
    _last: float = 0.0  # the highest rank so far
    _finish: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, call: Call, key: str, weight: float) -> int:
        """Queue a new call of a key; returns its place, from 1."""
        if not self._waiting:
            self._virtual = self.top
        call.rank = max(self._virtual, self._finish.get(key, 0.0))
        self._finish[key] = call.rank + 1 / weight
        self.top = max(self.top, self._finish[key])
        self.put_back(call)
        self._last = max(self._last, call.rank)
        return len(self) if call.rank == self._last else self.position(call)

    def pass_by(self, call: Call) -> None:
        """Rank a call that is served at once, as nothing waits: what comes back from before is still before it."""
        call.rank = self._virtual = self.top

    def put_back(self, call: Call) -> None:
        """Queue a call in the place that its rank gives it."""
        self._waiting.add(call)
        self.busy[self.name] = self
        heapq.heappush(self._heap, (call.rank, call.arrival, call))

    def take(self) -> Call | None:
        """Take the first call out; None where none waits."""
        head = self.head()
        if head is None:
            return None
        heapq.heappop(self._heap)
        self.drop(head)
        self._virtual = max(self._virtual, head.rank)
        return head

    def drop(self, call: Call) -> None:
        """Take a call out wherever it is; one that does not wait is ignored."""
        self._waiting.discard(call)
        if not self._waiting:
            self.busy.pop(self.name, None)

    def head(self) -> Call | None:
        """Return the first call; None where none waits."""
        while self._heap and self._heap[0][2] not in self._waiting:
            heapq.heappop(self._heap)
        return self._heap[0][2] if self._heap else None

    def position(self, call: Call) -> int:
        """Return a waiting call's place, from 1."""
        return 1 + sum((other.rank, other.arrival) < (call.rank, call.arrival) for other in self._waiting)


class Queues(dict[str, FairQueue]):
    """Queues by version, made when they are asked for. `busy` has those in which something waits."""

    def __init__(self) -> None:
        super().__init__()
        self.busy: dict[str, FairQueue] = {}

    def __missing__(self, version: str) -> FairQueue:
        queue = self[version] = FairQueue(name=version, busy=self.busy)
        return queue
