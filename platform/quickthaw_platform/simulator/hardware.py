"""A node as hardware: what its tiers hold, and how long it takes to bring weights into its memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field

from quickthaw_platform.averages import Average
from quickthaw_platform.checkpoints.tiers.eviction import Cached, choose_victims
from quickthaw_platform.contracts import NodeState, NodeView, TiersView, Way
from quickthaw_platform.simulator.scenario import Device, NodeGroup


@dataclass(slots=True)
class Tier:
    """Memory or disk for checkpoints. Who goes when room is wanted, the production code says."""

    budget: int
    used: int = 0
    cached: dict[str, Cached] = field(default_factory=dict)
    inflation: float = 0.0

    def use(self, checkpoint: str) -> None:
        """Count a use of what is there."""
        self.cached[checkpoint] = self.cached[checkpoint].used(self.inflation)

    def take(self, checkpoint: str, size: int, reload_seconds: float, pinned: Container[str]) -> bool:
        """Take a checkpoint in, others but the pinned ones making room; False where they cannot."""
        if checkpoint in self.cached:
            self.use(checkpoint)
            return True
        missing = self.used + size - self.budget
        if missing > 0:
            eviction = choose_victims((c for c in self.cached.values() if c.id not in pinned), missing, self.inflation)
            if eviction is None:
                return False
            self.inflation = eviction.inflation
            for victim in eviction.victims:
                self.used -= self.cached.pop(victim).bytes
        self.used += size
        self.cached[checkpoint] = Cached(checkpoint, size, reload_seconds).used(self.inflation)
        return True


@dataclass(frozen=True, slots=True)
class Load:
    """How weights come into memory for one start."""

    way: Way
    begin: float  # of the reading itself
    end: float

    @property
    def reads(self) -> bool:
        """Whether it brings weights into memory that were not there, nor on their way."""
        return self.way in (Way.DISK, Way.REMOTE)


class Node:
    """Reads one checkpoint at a time from disk, and one from beyond; starts that want the same one share its load.

    Room in memory is made when a load is asked for. What is in memory and was read from the disk stays on the disk.
    """

    def __init__(self, identity: str, group: NodeGroup, device: Device, remote: frozenset[str]) -> None:
        self.id = identity
        self.group = group
        self.device = device
        self.dead = False
        self.dram = Tier(group.dram)
        self.disk = Tier(group.disk)
        self.users: Counter[str] = Counter()  # instances by checkpoint: it stays in memory meanwhile
        self.started: set[str] = set()  # checkpoints that had an instance here: they have a template while in memory
        self._remote = remote
        self._arriving: dict[str, float] = {}
        self._read_here: set[str] = set()  # checkpoints in memory that came from the disk
        self._lane_free = {Way.DISK: 0.0, Way.REMOTE: 0.0}
        rates = group.bandwidths
        self._rates = {Way.DRAM: rates.dram, Way.DISK: rates.disk, Way.REMOTE: rates.remote}
        self._measured = {way: Average.of(rate) for way, rate in self._rates.items()}

    def begin_load(self, checkpoint: str, size: int, begin: float, factor: float) -> Load:
        """Take what is nearest; `factor` times the time that bandwidth says. `arrived` is to be called at the end."""
        if checkpoint in self._arriving:
            if checkpoint in self.dram.cached:
                self.dram.use(checkpoint)
            return Load(Way.DRAM, begin, max(begin, self._arriving[checkpoint]))
        if checkpoint in self.dram.cached:
            self.dram.use(checkpoint)
            if checkpoint in self.started and Way.TEMPLATE in self.device.init_seconds:
                return Load(Way.TEMPLATE, begin, begin)
            return Load(Way.DRAM, begin, begin + self._seconds(Way.DRAM, size) * factor)
        self._make_room(checkpoint, size)
        way = Way.DISK if checkpoint in self.disk.cached else Way.REMOTE
        begin = max(begin, self._lane_free[way])
        end = begin + self._seconds(way, size) * factor
        self._lane_free[way] = self._arriving[checkpoint] = end
        return Load(way, begin, end)

    def arrived(self, checkpoint: str, size: int, load: Load) -> bool:
        """Note that a load is over: the weights are in memory, those from beyond on the disk too, where they fit.

        Returns whether anything has changed by it: not where they had been in memory before.
        """
        self._arriving.pop(checkpoint, None)
        if not load.reads:
            return False
        if load.end > load.begin:
            self._measured[load.way] = self._measured[load.way].with_sample(size / (load.end - load.begin))
        if load.way is Way.DISK and checkpoint in self.dram.cached:
            self._read_here.add(checkpoint)
        self.disk.take(checkpoint, size, self._seconds(Way.REMOTE, size), self._arriving.keys() | self._read_here)
        return True

    def _make_room(self, checkpoint: str, size: int) -> None:
        self.dram.take(checkpoint, size, self._seconds(Way.DISK, size), self.users)
        self.started &= self.dram.cached.keys()
        self._read_here &= self.dram.cached.keys()

    def place(self, checkpoint: str, size: int) -> None:
        """Have a checkpoint on the disk from the start, where there is room without any other leaving."""
        if self.disk.used + size <= self.disk.budget:
            self.disk.used += size
            self.disk.cached[checkpoint] = Cached(checkpoint, size, self._seconds(Way.REMOTE, size))

    def forget_user(self, checkpoint: str) -> None:
        """Note that an instance has left."""
        self.users[checkpoint] -= 1
        if self.users[checkpoint] <= 0:
            del self.users[checkpoint]

    def restarted(self) -> Node:
        """Return it as it comes back: with its disk, and nothing in memory."""
        node = Node(self.id, self.group, self.device, self._remote)
        node.disk = self.disk
        return node

    def tiers(self) -> TiersView:
        """Return its tiers as it reports them."""
        return TiersView(
            dram=frozenset(self.dram.cached.keys() - self._arriving.keys()),
            bandwidths={way.value: average.value for way, average in self._measured.items()},
            dram_bytes=self.dram.budget,
            dram_used_bytes=self.dram.used,
            disk_used_bytes=self.disk.used,
            remote=self._remote,
        )

    def templates(self) -> frozenset[str]:
        """Return the checkpoints with a live template."""
        return frozenset(self.started) if Way.TEMPLATE in self.device.init_seconds else frozenset()

    def view(self) -> NodeView:
        """Return the record that it enters the cluster with."""
        memory = self.group.memory
        return NodeView(
            self.id, NodeState.READY, self.group.kind, memory, memory, frozenset(self.disk.cached), self.templates(),
            self.tiers(), self.group.labels,
        )  # fmt: skip

    def _seconds(self, way: Way, size: int) -> float:
        return size / self._rates[way]
