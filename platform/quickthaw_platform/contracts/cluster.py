"""The cluster as policies see it: nodes, instances, and what was learnt of functions."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from quickthaw.types import Isolation


class NodeState(enum.StrEnum):
    """A node's life as its heartbeat tells it."""

    READY = "ready"
    DRAINING = "draining"  # takes no new work, finishes what runs


class InstanceState(enum.StrEnum):
    """An instance's life: `starting → loaded → ready → draining`, then its record goes."""

    STARTING = "starting"  # reserved on a node; template or fork under way
    LOADED = "loaded"  # weights mapped; takes from the queue, and its first output proves it
    READY = "ready"  # has generated; new invocations may lease its slots
    DRAINING = "draining"  # leases nothing more; goes when its last lease does


class Way(enum.StrEnum):
    """Where a start finds the weights, nearest first."""

    ASLEEP = "asleep"  # a process that served the version sleeps, and has them: it only has to wake
    PRIMED = "primed"  # a live template has also read what the version's prompts begin with
    TEMPLATE = "template"  # a live template has them mapped: a fork is enough
    DRAM = "dram"  # whole in the node's memory, or on their way there
    DISK = "disk"
    REMOTE = "remote"

    @property
    def loads(self) -> bool:
        """Whether weights are loaded: not where a sleeping process wakes or a live template forks."""
        return self in (Way.DRAM, Way.DISK, Way.REMOTE)

    @property
    def is_of_a_version(self) -> bool:
        """Whether a process waits for starts of one version, or some, and not of all with the checkpoint."""
        return self in (Way.ASLEEP, Way.PRIMED)


@dataclass(frozen=True, slots=True)
class Running:
    """An invocation that an instance serves, as far as moving it is concerned."""

    invocation: str
    tokens: int  # of the prompt and the answer so far
    seconds: float  # since it began


@dataclass(frozen=True, slots=True)
class InstanceView:
    """An instance as the router sees it. The last fields tell of one that is starting: what is still to come."""

    id: str
    function: str
    version: str
    node: str
    state: InstanceState
    concurrency: int
    in_use: int
    memory_bytes: int
    idle_seconds: float  # 0 while in use
    checkpoint: str = ""
    checkpoint_bytes: int = 0
    running: tuple[Running, ...] = ()  # only where the cluster can move invocations
    way: Way | None = None
    load_seconds: float = 0.0  # until its weights have been read, by the estimate it was started on
    start_seconds: float = 0.0  # until it serves, by that estimate
    min_instances: int = 0  # how many of its version are kept without calls
    dedicated: bool = False  # these give way to no other function


@dataclass(frozen=True, slots=True)
class TiersView:
    """What a node has besides its disk, and how fast each tier gave it what it has read. Sizes are bytes."""

    dram: frozenset[str] = frozenset()  # ids of checkpoints whole in its memory
    arriving: Mapping[str, int] = field(default_factory=dict)  # id to bytes still to come into its memory
    bandwidths: Mapping[str, float] = field(default_factory=dict)  # dram, disk, remote to bytes/s, where measured
    dram_bytes: int = 0  # the budget of its memory tier
    dram_used_bytes: int = 0
    disk_used_bytes: int = 0
    remote: frozenset[str] = frozenset()  # ids that it can fetch from beyond
    push_failures: Mapping[str, str] = field(default_factory=dict)  # id to why the remote tier did not take it


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as the router sees it. `memory_free_bytes` is the budget less what its instances have reserved."""

    id: str
    state: NodeState
    device: str
    memory_bytes: int
    memory_free_bytes: int
    checkpoints: frozenset[str]  # ids on its disk
    templates: frozenset[str]  # ids with a live template
    tiers: TiersView = field(default_factory=lambda: TiersView())
    labels: Mapping[str, str] = field(default_factory=dict)
    kept_for: str = ""  # the version that an instance has given up room for; no other may take it
    kept_bytes: int = 0  # of memory_free_bytes
    primed: frozenset[str] = frozenset()  # ids of versions with a live primed template
    asleep: frozenset[str] = frozenset()  # ids of versions with a sleeping process
    isolation: Isolation = Isolation.NONE  # of its instances

    def has(self, checkpoint: str) -> bool:
        """Whether the node can get at a checkpoint, wherever it is."""
        return checkpoint in self.checkpoints or checkpoint in self.tiers.dram or checkpoint in self.tiers.remote


@dataclass(frozen=True, slots=True)
class FunctionStats:
    """What was learnt of a function from its calls and starts. Means; None and absent: nothing yet."""

    init_seconds: Mapping[Way, float] = field(default_factory=dict)  # of a start, beyond waiting for and moving bytes
    service_seconds: float | None = None  # how long an invocation holds its slot
    calls_per_second: float = 0.0
    weight: float = 1.0  # its share when functions compete for room


@dataclass(frozen=True, slots=True)
class MigrationCost:
    """Moving a running invocation takes `seconds_per_token · (tokens in + tokens out) + seconds` (ServerlessLLM,
    OSDI'24, section 5.2).
    """

    seconds_per_token: float
    seconds: float

    def of(self, tokens: int) -> float:
        """Return the seconds it takes with so many tokens."""
        return self.seconds_per_token * tokens + self.seconds


@dataclass(frozen=True)
class ClusterView:
    """What a decision rests on, read at one moment."""

    nodes: Sequence[NodeView]
    instances: Sequence[InstanceView]  # of every function
    waiting: Mapping[str, int] = field(default_factory=dict)  # version id to queue length
    waited: Mapping[str, float] = field(default_factory=dict)  # version id to how long the first has waited (seconds)
    functions: Mapping[str, FunctionStats] = field(default_factory=dict)  # name to what is known of it
    migration: MigrationCost | None = None  # None: running invocations stay where they are
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)  # what policies derived from it
