"""One instance as its agent knows it: where it is in its life, and how its start went."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from quickthaw.errors import QuickthawError
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.tiers.node import Held
from quickthaw_platform.contracts import Checkpoint, Way
from quickthaw_platform.invocations.records import NO_START, ColdStart
from quickthaw_platform.metering import metrics
from quickthaw_platform.metering.tracing import Tracer
from quickthaw_platform.metering.usage.node_meter import Birth, InstanceMeter
from quickthaw_platform.metering.usage.records import Subject
from quickthaw_platform.worker.capture import MAX_LINES_PER_SECOND, LineBudget
from quickthaw_platform.worker.flight import Flight, Work
from quickthaw_platform.worker.frames import Frame
from quickthaw_platform.worker.instance_process import InstanceOrder, InstanceProcess
from quickthaw_platform.worker.learning import FinishedStart
from quickthaw_platform.worker.loop import Timer
from quickthaw_platform.worker.templates import TemplateOrder

MOST_LINES_PER_SECOND = 5 * MAX_LINES_PER_SECOND
"""Log lines of one instance. More than it sends by itself, in whatever seconds its two streams count theirs."""


UNKNOWN_CONTEXT_TOKENS = 1 << 20
"""What is taken for the context of a checkpoint that names none: more than any has."""


SAID_TIMES_OUTPUT = 8
SAID_BYTES = 1 << 20
"""What an instance may say of an invocation is so many times max_output, and so much more."""


class Phase(enum.Enum):
    """Where an instance is in its life, as its agent knows it."""

    STARTING = enum.auto()  # no process yet, or it loads
    LOADED = enum.auto()  # takes invocations; has not put out anything
    READY = enum.auto()  # has put something out
    DRAINING = enum.auto()  # finishes what runs, then stops
    STOPPING = enum.auto()  # told to stop


@dataclass(frozen=True, slots=True)
class StartOrder:
    """A start that the platform asked for."""

    node: str
    template: TemplateOrder
    instance: InstanceOrder
    tier: str  # where the weights come from: dram, disk or remote
    queue_seconds: float  # from the reservation to the command's arrival
    tier_seconds: float  # to have the weights on their way into memory
    received_at: float  # when that was: Unix seconds, Redis' clock
    received: float  # the same by the monotonic clock
    completed_at: Callable[[], float | None]  # when its weights were all there, by the monotonic clock
    predicted_seconds: float | None  # from the reservation until it serves, by the decision behind it
    after: tuple[str, ...] = ()  # instances that make room for it
    fetched_bytes: int = 0  # of weights, read from `tier` for it
    adapter: Held | None = None  # the LoRA adapter that the instance reads

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Whatever weights it is made of."""
        return (self.template.checkpoint, *(() if self.adapter is None else (self.adapter.checkpoint,)))

    @property
    def subject(self) -> Subject:
        """What its usage is counted for."""
        version = self.instance.version
        memory = self.instance.memory_bytes + Manifest.of(self.template.checkpoint).weights_bytes
        if self.adapter is not None:  # it lies in the node's memory once, and in the instance as a copy
            memory += 2 * Manifest.of(self.adapter.checkpoint).weights_bytes
        return Subject(version.function, version.id, version.spec.backend, self.node, self.instance.device, memory)

    @property
    def most_prompt_tokens(self) -> int:
        """What no prompt has more tokens than: the model's context, or what the function's option makes of it."""
        known = self.template.checkpoint.manifest.get("context_tokens")
        own = self.instance.version.spec.options.get("context_tokens")
        return max((number for number in (known, own) if isinstance(number, int)), default=0) or UNKNOWN_CONTEXT_TOKENS

    @property
    def most_bytes(self) -> int:
        """What it can say of one invocation: an honest one ends it at max_output, and may repeat it all in the result,
        beside model output that is not put out.
        """
        return SAID_TIMES_OUTPUT * self.instance.max_output + SAID_BYTES

    @property
    def birth(self) -> Birth:
        """When its device time begins: with its reservation, though never longer ago than a start may take."""
        waited = min(self.queue_seconds, self.instance.version.spec.limits.start)  # Redis' clock may have been set
        return Birth(self.received - waited, self.received, self.received_at)


class Arriving(Protocol):
    """Who takes an invocation over to an instance. Called from the loop's thread; nothing here blocks."""

    def held(self) -> None:
        """All that is recorded has been computed."""

    def lost(self, error: QuickthawError) -> None:
        """The instance cannot take it."""


@dataclass(slots=True)
class Instance:
    """What the agent knows of one instance."""

    order: StartOrder
    meter: InstanceMeter
    tries: int = 0
    phase: Phase = Phase.STARTING
    process: InstanceProcess | None = None
    began: float = field(default_factory=time.monotonic)
    loaded: float = 0.0  # when it was, by the monotonic clock
    from_template: bool = False  # one that was there already
    primed: bool = False  # and it had read what the version's prompts begin with
    woken: bool = False  # its process had served the version before, and slept
    can_sleep: bool = False  # as its engine says
    may_sleep: bool = False  # when it is stopped
    stages: dict[str, float] = field(default_factory=dict)
    flights: dict[str, Flight] = field(default_factory=dict)
    arriving: dict[str, Arriving] = field(default_factory=dict)  # invocations that may be taken over
    lives: dict[str, int] = field(default_factory=dict)  # invocation to which of its runs here counts
    deaf: set[int] = field(default_factory=set)  # runs that were ended, and whose handler thread still runs
    unheard: set[int] = field(default_factory=set)  # of those, the ones whose end its process has not heard of
    lines: LineBudget = field(default_factory=lambda: LineBudget(MOST_LINES_PER_SECOND))
    warming: bool = False
    timeouts: int = 0  # calls whose limits ran out since anything came out of it
    timer: Timer | None = None

    @property
    def id(self) -> str:
        """The instance's id."""
        return self.order.instance.id

    def send(self, frame: Frame) -> None:
        """Tell its process something; one that has none yet hears nothing."""
        if self.process is not None:
            self.process.send(frame)

    def start_of(self, work: Work) -> ColdStart:
        """Return the start that an invocation waited for; none for one that came later."""
        waited = self.order.received_at + (self.stages.get("total") or 0.0)
        if work.created_at > waited:
            return NO_START
        queue = max(0.0, self.order.received_at - work.created_at)
        stages = {name: s for name, s in self.stages.items() if name != "total"} | {"queue": queue}
        return ColdStart(stages, self.tier)

    @property
    def tier(self) -> str:
        """Where its start found the weights: dram, disk or remote, or primed, or asleep."""
        return self.order.tier if self.way is Way.TEMPLATE else self.way.value

    @property
    def way(self) -> Way:
        """The way that its start went."""
        if self.woken:
            return Way.ASLEEP
        if self.primed:
            return Way.PRIMED
        return Way.TEMPLATE if self.from_template else Way(self.order.tier)

    def measure(self, tracer: Tracer) -> None:
        """Count and trace the stages of its start."""
        order = self.order
        attributes = {"function": order.instance.version.function, "instance": self.id, "tier": self.tier}
        end = order.received_at - order.queue_seconds
        for name, seconds in self.stages.items():
            metrics.startup_seconds.labels(name).observe(seconds)
            if name != "total":
                tracer.span(f"start.{name}", end, end + seconds, attributes)
                end += seconds
        tracer.span("start", order.received_at - order.queue_seconds, end, attributes)

    def finished_start(self) -> FinishedStart:
        """Say how its start went, when it has just put something out: its weights are there."""
        order = self.order
        completed = order.received if self.woken else order.completed_at() or time.monotonic()
        serves = max(self.loaded, completed)
        return FinishedStart(
            function=order.instance.version.function,
            instance=self.id,
            way=self.way,
            seconds=order.queue_seconds + serves - order.received,
            load_seconds=max(0.0, completed - order.received),
            predicted_seconds=order.predicted_seconds,
        )
