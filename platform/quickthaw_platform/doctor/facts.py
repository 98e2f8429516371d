"""What is known of a machine and of the platform on it. Gathered by `gathering`, judged by `checks`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quickthaw.types import Isolation, Network
from quickthaw_platform.cage.levels import Grant
from quickthaw_platform.commands.devices import TorchFacts
from quickthaw_platform.control_groups.delegation import Delegation


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """This host and this process' rights on it. Sizes in bytes; None: not to be found out here."""

    python: tuple[int, int, int]
    root: bool
    memory: int
    memory_available: int
    shm_free: int | None
    shmem_huge_pages: str | None  # always, within_size, advise, never, deny or force
    overcommit: int | None  # vm.overcommit_memory
    open_files: int  # the hard limit, to which a process may raise its own
    processes: int | None
    grant: Grant  # what instances here are isolated by
    delegation: Delegation  # what those of a worker that is started from here are bounded by together
    isolation: Isolation | None = None  # the level that is set; None: the strongest
    network: Network = Network.HOST  # the setting, for functions that name none
    blank_variables: tuple[str, ...] = ()
    service_links: tuple[str, ...] = ()
    proxies: Mapping[str, str] = field(default_factory=dict)  # variable → proxy, without password
    loopback_spared: bool = True  # NO_PROXY names this machine, for programs that are not ours


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """A folder of the platform: how much is free there, and what is in the way of writing to it (None: nothing)."""

    name: str
    path: str
    free: int | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What Redis says of itself; `problem` where it could not be asked, or refuses to write."""

    url: str  # without its password
    problem: str | None = None
    version: str = ""
    persistent: bool = False
    persistence_ok: bool = True
    sync_problem: str | None = None  # why the disk does not take what the embedded one writes
    policy: str = "noeviction"
    memory: int = 0
    max_memory: int = 0  # 0: no limit
    clock_skew_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RemoteFacts:
    """The remote tier; `problem` where it cannot be listed. `clock_skew_seconds` None: it tells no time."""

    url: str
    problem: str | None = None
    clock_skew_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """The gateway that a client here would call."""

    url: str
    port_problem: str | None = None  # why the port cannot be bound, where no gateway answers
    problem: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """A function that calls reach, and the weakest isolation with which it runs: a node that gives less refuses it."""

    function: str
    level: Isolation
    reason: str  # the field of its deploy that demands it


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was gathered. What is None was not asked: there is no remote tier, no Redis is configured."""

    version: str
    device: str
    machine: MachineFacts
    disks: tuple[DiskFacts, ...]
    gateway: GatewayFacts
    redis: RedisFacts | None = None
    remote: RemoteFacts | None = None
    torch: TorchFacts | None = None
    nodes: Mapping[str, str] = field(default_factory=dict)  # node → version of its worker
    push_failures: Mapping[str, str] = field(default_factory=dict)  # node → why the remote tier lacks what it has
    grants: Mapping[str, Grant] = field(default_factory=dict)  # node → what its instances are isolated by
    demands: tuple[Demand, ...] = ()
