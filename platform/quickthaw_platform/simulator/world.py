"""What a simulation consists of, and who may change it: shared by the parts that let things happen."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from quickthaw.types import Version
from quickthaw_platform.contracts import MigrationCost, Start, Way
from quickthaw_platform.invocations.memory import MemoryCluster
from quickthaw_platform.simulator.events import Events
from quickthaw_platform.simulator.functions import Function
from quickthaw_platform.simulator.hardware import Load, Node
from quickthaw_platform.simulator.outcome import Outcome, Phase
from quickthaw_platform.simulator.scenario import Scenario

MAX_ATTEMPTS = 100
"""A call whose node is gone is tried again so often; moving one counts as a try."""


@dataclass(slots=True, eq=False)
class Instance:
    """An instance as its node knows it."""

    id: str
    function: Function
    node: Node
    created: float
    predicted: float | None  # how long the start was to take
    load: Load
    phase: Phase = Phase.STARTING
    since: float = 0.0  # the phase began
    leases: int = 0
    stopping: bool = False
    gone: bool = False
    checking: bool = False  # whether its keep-alive time is being watched
    taking: tuple[str, ...] = ()  # invocations that move to it when it serves
    room_at: float = 0.0  # when those that make room for it have gone; its weights come meanwhile
    prompts_until: float = 0.0  # when it will have computed the prompts that it has


@dataclass(slots=True, eq=False)
class Call:
    """An invocation that has not ended."""

    function: Function
    arrived: float
    tokens_in: int
    tokens_out: int
    queued: bool = False  # it found no free slot
    epoch: int = 0
    instance: Instance | None = None
    began: float = 0.0
    first: float = 0.0  # token out
    ends: float = math.inf


class Cluster(MemoryCluster):
    """Production's store in memory. Instances are numbered here: what decides between equals must not be chance."""

    def __init__(self, clock: Callable[[], float], capacity: int, failed: Callable[[str], None]) -> None:
        """`failed` is told of each call that ends because it can never run."""
        super().__init__(clock, max_attempts=MAX_ATTEMPTS, remember_ended=False, capacity=capacity)
        self._failed = failed
        self._numbers: dict[str, str] = {}
        self._reserved = 0

    def reserve(
        self, version: Version, start: Start, instance: str, memory_bytes: int, checkpoint_bytes: int, serving: int
    ) -> bool:
        """Reserve under a number, see `number`."""
        self._reserved += 1
        number = f"{version.function}-{self._reserved:09}"
        done = super().reserve(version, start, number, memory_bytes, checkpoint_bytes, serving)
        if done:
            self._numbers[instance] = number
        return done

    def number(self, instance: str) -> str:
        """Return the id of what was just reserved under a random one."""
        return self._numbers.pop(instance)

    def fail_waiting(self, version: str, reason: str) -> list[str]:
        """Fail all that waits for the version."""
        failed = super().fail_waiting(version, reason)
        for identity in failed:
            self._failed(identity)
        return failed


@dataclass(slots=True, eq=False)
class World:
    """The state."""

    scenario: Scenario
    cluster: Cluster
    events: Events
    outcome: Outcome
    functions: dict[str, Function]  # by version id
    nodes: dict[str, Node]
    rng: random.Random
    instances: dict[str, Instance] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)

    def factor(self) -> float:
        """Return by what the next duration differs from the nominal one."""
        sigma = self.scenario.jitter
        return self.rng.lognormvariate(0.0, sigma) if sigma else 1.0

    def publish(self, node: Node) -> None:
        """Have the cluster know what a node's tiers hold now."""
        self.cluster.change(
            node.id, checkpoints=frozenset(node.disk.cached), templates=node.templates(), tiers=node.tiers()
        )

    def turn(self, instance: Instance, phase: Phase) -> None:
        """Book the time of the phase that ends."""
        self.outcome.phases[instance.phase] += self.events.now - instance.since
        instance.phase, instance.since = phase, self.events.now


def make_world(scenario: Scenario, seed: int, outcome: Outcome, events: Events, failed: Callable[[str], None]) -> World:
    """Return a cluster in which nothing has happened yet."""
    functions = [
        Function(f"{group.name}-{i}", group, lambda: events.now)
        for group in scenario.functions
        for i in range(group.count)
    ]
    remote = frozenset(function.checkpoint for function in functions)
    nodes = [
        Node(f"{group.name}-{i}", group, scenario.devices[group.device], remote)
        for group in scenario.nodes
        for i in range(group.count)
    ]
    _place(scenario, functions, nodes)
    cluster = Cluster(lambda: events.now, len(nodes), failed)
    for node in nodes:
        cluster.join(node.view())
    cluster.functions.update({function.name: function.stats() for function in functions})
    if scenario.migration is not None:
        cluster.allow_migration(MigrationCost(scenario.migration.seconds_per_token, scenario.migration.seconds))
    by_version = {function.version.id: function for function in functions}
    rng = random.Random(seed)
    return World(scenario, cluster, events, outcome, by_version, {node.id: node for node in nodes}, rng)


def _place(scenario: Scenario, functions: list[Function], nodes: list[Node]) -> None:
    for i, function in enumerate(functions):
        match scenario.placed_on_disks:
            case "all":
                for node in nodes:
                    node.place(function.checkpoint, function.size)
            case "spread":
                nodes[i % len(nodes)].place(function.checkpoint, function.size)


def learn_start(world: World, instance: Instance) -> None:
    """Book a start that has come to its end, and learn from it as production does."""
    seconds = world.events.now - instance.created
    init = seconds - (instance.load.end - instance.created)
    instance.function.learn_init(instance.load.way, init)
    world.outcome.starts.append(seconds)
    world.outcome.predicted.append(instance.predicted or 0.0)
    world.outcome.ways[instance.load.way] += 1


def takes_init(world: World, node: Node, way: Way) -> float:
    """Return the seconds of a start beyond its load, this time."""
    return node.device.init_seconds[way] * world.factor()
