"""What policies are asked, what they answer, and the policies themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from quickthaw.types import Isolation
from quickthaw_platform.contracts.cluster import ClusterView, Way


@dataclass(frozen=True, slots=True)
class AllocationRequest:
    """What wants to run: one more instance of this version, if the policy finds it right."""

    function: str
    version: str
    checkpoint: str
    memory_bytes: int
    concurrency: int
    max_instances: int
    checkpoint_bytes: int = 0
    device: str | None = None  # "cpu" or "cuda"; None: any
    labels: Mapping[str, str] = field(default_factory=dict)  # that a node must have
    spread: bool = False  # rather on a node that has no instance of it yet
    weight: float = 1.0  # its share when functions compete for room
    isolation: Isolation = Isolation.NONE  # that a node must give its instances at least
    ahead: bool = False  # nothing needs it yet: a slot that is soon free is no substitute


@dataclass(frozen=True, slots=True)
class Option:
    """One node that was considered, and how long a start there would take; `verdict` says why it was not chosen."""

    node: str
    way: Way
    queue_seconds: float  # for loads before it
    load_seconds: float  # to move the bytes
    init_seconds: float
    room_seconds: float = 0.0  # until idle instances have gone or running ones have moved
    verdict: str = ""

    @property
    def seconds(self) -> float:
        """The estimate: the sum."""
        return self.queue_seconds + self.load_seconds + self.init_seconds + self.room_seconds


@dataclass(frozen=True, slots=True)
class Move:
    """Move a running invocation from its instance to a node where another of its version can take it."""

    invocation: str
    instance: str
    to_node: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start an instance on this node; None: how long it takes is not known.

    `retire` names idle instances of that node that make room for it. `considered` lists the best options, this one
    first.
    """

    node: str
    estimate_seconds: float | None = None
    way: Way | None = None
    load_seconds: float = 0.0  # until its weights have been read, those before it included
    retire: tuple[str, ...] = ()
    considered: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait: the reason is shown to the caller.

    `drain` names instances that are to give way when they are done, `moves` what they run and what is to go on
    elsewhere: then they are done at once.
    """

    reason: str
    estimate_seconds: float | None = None
    drain: tuple[str, ...] = ()
    moves: tuple[Move, ...] = ()
    considered: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """It can never run on this cluster as it is."""

    reason: str
    considered: tuple[Option, ...] = ()


Decision = Start | Wait | Refuse


class AllocationPolicy(Protocol):
    """Chooses where a waiting invocation's instance starts. Pure: no I/O, no clock, no log."""

    def choose(self, request: AllocationRequest, view: ClusterView) -> Decision:
        """Decide for `request` on what `view` shows."""


@dataclass(frozen=True, slots=True)
class IdleHistory:
    """A function without a call, and its past: what a keep-alive policy decides on."""

    keep_alive_seconds: float  # what its deploy asks for
    gaps: Sequence[float] = ()  # how long it had no call before, each time (seconds), the latest last
    start_seconds: float = 1.0  # what a start would take if no instance were kept


@dataclass(frozen=True, slots=True)
class Keep:
    """How long an idle instance is kept: `seconds` of idleness, math.inf until its room is wanted.

    With `prewarm_after` one instance is wanted in any case from so many seconds after the function's last call until
    `prewarm_until`: it is started if there is none, and its own idleness does not count meanwhile.
    """

    seconds: float
    prewarm_after: float | None = None
    prewarm_until: float = 0.0

    def wants_one(self, since_call_seconds: float) -> bool:
        """Whether one instance is wanted so long after the function's last call, however long it has idled."""
        return self.prewarm_after is not None and self.prewarm_after <= since_call_seconds < self.prewarm_until


class KeepAlivePolicy(Protocol):
    """Says how long an idle instance is worth keeping. Pure."""

    def keep(self, history: IdleHistory) -> Keep:
        """Decide for an instance of a function with this past."""
