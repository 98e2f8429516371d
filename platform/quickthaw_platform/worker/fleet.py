"""The node's instances: their starts and ends. One thread, the loop's, owns them; changes in Redis go to the writer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import structlog

from quickthaw.errors import InstanceLost, QuickthawError, StartFailed, from_json
from quickthaw_platform.metering import metrics
from quickthaw_platform.metering.tracing import Tracer
from quickthaw_platform.metering.usage.node_meter import NodeMeter
from quickthaw_platform.worker.beginnings import Beginnings
from quickthaw_platform.worker.frames import Frame, ProtocolError
from quickthaw_platform.worker.instance_life import Instance, Phase, StartOrder
from quickthaw_platform.worker.instance_process import Listener
from quickthaw_platform.worker.instance_reports import check_fields, line_of, sample_in, stage_of
from quickthaw_platform.worker.launcher import Launcher
from quickthaw_platform.worker.learning import Learning
from quickthaw_platform.worker.loop import Loop
from quickthaw_platform.worker.processes import describe_exit
from quickthaw_platform.worker.serving import OUTPUTS, Serving
from quickthaw_platform.worker.sleepers import Sleepers
from quickthaw_platform.worker.writer import Writer

STOP_PATIENCE_SECONDS = 5.0
"""How long a stopped instance gets to end, before it is killed."""

SLEEP_PATIENCE_SECONDS = 20.0
"""The same for one that is to sleep: gigabytes of weights have to leave a device."""

MAX_TRIES = 2
"""Starts of one instance when its processes are killed under it; a start that fails by itself is not repeated."""

_log = structlog.get_logger()


class Effects(Protocol):
    """What the fleet causes in Redis. Called from the loop's thread; nothing here blocks."""

    def loaded(self, instance: str) -> None:
        """The instance can serve: give it what waits, and call `Fleet.idle` when that is nothing."""

    def ready(self, instance: str) -> None:
        """The instance has put something out: newcomers may lease its slots."""

    def draining(self, instance: str) -> None:
        """The instance takes nothing new."""

    def released(self, instance: str) -> None:
        """The instance's process maps its checkpoint no more, or never did."""

    def gone(self, instance: str, error: QuickthawError) -> None:
        """The instance is no more: forget it, and settle the leases that it left with `error`."""

    def died(self, instance: str, error: QuickthawError) -> None:
        """The instance's process has ended by itself: forget it, settle its leases, and see that another takes over."""

    def start_failed(self, instance: str, version: str, error: QuickthawError) -> None:
        """The instance will never be: forget it, and fail what waits for it."""


class Fleet:
    """For the loop's thread only."""

    def __init__(
        self,
        loop: Loop,
        writer: Writer,
        launcher: Launcher,
        beginnings: Beginnings,
        sleepers: Sleepers,
        effects: Effects,
        *,
        learning: Learning,
        meters: NodeMeter,
        tracer: Tracer,
        log: Callable[[str, Mapping[str, str]], None],
    ) -> None:
        """`log` takes a function's name and the fields of a log line."""
        self._loop = loop
        self._launcher = launcher
        self._beginnings = beginnings
        self._sleepers = sleepers
        self._effects = effects
        self._learning = learning
        self._meters = meters
        self._tracer = tracer
        self._log_line = log
        self._instances: dict[str, Instance] = {}
        self.serving = Serving(
            loop,
            writer,
            self._instances,
            learning=learning,
            tracer=tracer,
            on_free=self._free,
            on_useless=self._replace,
            on_stuck=self._end_stuck,
        )

    def __len__(self) -> int:
        return len(self._instances)

    def ids(self) -> list[str]:
        """Return the ids of all instances."""
        return list(self._instances)

    def pids(self) -> dict[str, int]:
        """Return the process id of each instance that has one."""
        processes = {name: i.process for name, i in self._instances.items()}
        return {name: p.pid for name, p in processes.items() if p is not None and p.pid is not None}

    def start(self, order: StartOrder) -> None:
        """Start an instance; one that is there already is left alone."""
        if order.instance.id in self._instances:
            return
        instance = Instance(order, self._meters.begin(order.instance.id, order.subject, order.birth))
        instance.meter.stage("tier", order.tier_seconds)
        instance.meter.stage("queue", order.queue_seconds)
        instance.meter.fetched(order.tier, order.fetched_bytes)
        if order.adapter is not None:
            instance.meter.fetched(order.adapter.tier, order.adapter.fetched_bytes)
        instance.stages |= {"queue": order.queue_seconds, "tier": order.tier_seconds}
        self._instances[instance.id] = instance
        limit = order.instance.version.spec.limits.start
        instance.timer = self._loop.later(limit, lambda: self._start_timed_out(instance, limit))
        self._launch(instance)

    def forked(self, instance_id: str, pid: int) -> None:
        """Take a template's word that it forked an instance."""
        instance = self._instances.get(instance_id)
        if instance is not None and instance.process is not None:
            instance.process.adopt(pid)

    def reported(self, pid: int, status: int) -> None:
        """Take a template's word on how an instance ended."""
        for instance in list(self._instances.values()):
            if instance.process is not None and instance.process.pid == pid:
                instance.process.reported(status)
        self._sleepers.reported(pid, status)

    def starting(self) -> bool:
        """Whether an instance has not yet put anything out."""
        return any(i.phase in (Phase.STARTING, Phase.LOADED) for i in self._instances.values())

    def _launch(self, instance: Instance) -> None:
        instance.tries += 1
        self._launcher.launch(
            instance,
            self._listener(instance),
            is_wanted=lambda: self._instances.get(instance.id) is instance,
            on_failed=lambda error, again: self._start_failed(instance, error, again=again),
        )

    def _listener(self, instance: Instance) -> Listener:
        return Listener(
            frame=partial(self._take, instance),
            line=lambda stream, line: self._log(instance, None, stream, line),
            end=lambda status: self._ended(instance, status),
        )

    def _start_failed(self, instance: Instance, error: QuickthawError, *, again: bool) -> None:
        if again and instance.tries < MAX_TRIES:
            _log.warning("a start was cut off; trying again", instance=instance.id, error=error.message)
            instance.process = None
            self._launch(instance)
            return
        self._forget(instance)
        if instance.process is not None:
            instance.process.kill()
        cause = error if isinstance(error, StartFailed) else StartFailed(error.message)
        self._log(instance, None, "platform", f"start failed: {cause.message}")
        self._effects.start_failed(instance.id, instance.order.instance.version.id, cause)

    def _start_timed_out(self, instance: Instance, limit: float) -> None:
        if instance.phase is Phase.STARTING:
            self._start_failed(instance, StartFailed(f"it did not load within {limit:g} s (limit start)"), again=False)

    def _take(self, instance: Instance, frame: Frame) -> None:
        try:
            check_fields(frame)
            if frame["t"] in OUTPUTS:
                self.serving.take_output(instance, frame)
            else:
                self._take_report(instance, frame)
        except ProtocolError as error:
            if instance.process is not None:
                instance.process.kill(f"it reported what it may not: {error}")

    def _take_report(self, instance: Instance, frame: Frame) -> None:
        match frame["t"]:
            case "heard":
                self.serving.heard(instance, frame)
            case "log":
                self._log_output(instance, *line_of(frame))
            case "stage":
                name, seconds = stage_of(frame)
                instance.stages[name] = seconds
                instance.meter.stage(name, seconds)
            case "prompt":
                self._beginnings.prompt(instance.order.instance.version, instance.order.template, sample_in(frame))
            case "loaded":
                self._loaded(instance, can_sleep=frame["can_sleep"])
            case "asleep" if instance.phase is Phase.STOPPING and instance.may_sleep:
                self._fell_asleep(instance, frame["bytes"])
            case "ready":
                self._ready(instance)
            case "failed" if self._instances.get(instance.id) is instance:
                self._start_failed(instance, from_json(frame["error"]), again=False)

    def _loaded(self, instance: Instance, *, can_sleep: bool) -> None:
        if instance.phase is not Phase.STARTING:
            return
        instance.phase = Phase.LOADED
        instance.can_sleep = can_sleep
        instance.meter.loaded()
        if instance.timer is not None:
            instance.timer.cancel()
        instance.loaded = time.monotonic()
        instance.stages["total"] = instance.loaded - instance.began
        self._effects.loaded(instance.id)

    def _ready(self, instance: Instance) -> None:
        if instance.phase is not Phase.LOADED:
            return
        instance.phase = Phase.READY
        instance.meter.ready()
        metrics.cold_starts_total.labels(instance.tier).inc()
        instance.measure(self._tracer)
        self._learning.started(instance.finished_start())
        self._log(instance, None, "platform", f"instance ready after {time.monotonic() - instance.began:.3f} s")
        self._effects.ready(instance.id)
        self._beginnings.ready(instance.order.instance.version, instance.order.template)

    def idle(self, instance_id: str) -> None:
        """Nothing waits for a loaded instance: let it prove itself by one token."""
        instance = self._instances.get(instance_id)
        if instance is not None and instance.phase is Phase.LOADED and not instance.flights and not instance.warming:
            instance.warming = True
            instance.send({"t": "warmup"})

    def _free(self, instance: Instance) -> None:
        """Go on with an instance that may have nothing to do any more."""
        if instance.phase is Phase.DRAINING and not instance.flights:
            self._stop(instance)
        elif instance.phase is Phase.LOADED and not instance.flights:
            self._effects.loaded(instance.id)

    def _replace(self, instance: Instance, why: str) -> None:
        self._log(instance, None, "platform", f"{why}; replacing instance")
        self.drain(instance.id)

    def _end_stuck(self, instance: Instance) -> None:
        if instance.process is not None:
            instance.process.kill("its code lets nothing else run in its process")

    def drain(self, instance_id: str) -> None:
        """Stop an instance when what runs on it has ended; one that still starts, at once. Idempotent."""
        instance = self._instances.get(instance_id)
        if instance is None or instance.phase in (Phase.DRAINING, Phase.STOPPING):
            return
        self._effects.draining(instance_id)
        self.serving.turn_away(instance, InstanceLost("the instance was stopped"))
        starting = instance.phase is Phase.STARTING
        instance.phase = Phase.DRAINING
        instance.meter.stopping()
        if not instance.flights:
            self._stop(instance)
        if starting and instance.process is not None:
            instance.process.kill()  # it reads nothing before it is loaded

    def stop(self, instance_id: str) -> None:
        """Drain an instance, which may sleep then, or forget the record of one that never came to be here."""
        instance = self._instances.get(instance_id)
        if instance is not None:
            instance.may_sleep = instance.phase is Phase.READY
            self.drain(instance_id)
        else:
            self._effects.gone(instance_id, InstanceLost("the instance was stopped"))

    def lose_checkpoint(self, checkpoint: str, error: StartFailed) -> None:
        """End the instances that still wait for weights which will never arrive; the cause is theirs."""
        for instance in list(self._instances.values()):
            waits_for = {c.id for c in instance.order.checkpoints if c.arrival is not None and not instance.woken}
            if checkpoint in waits_for and instance.phase is not Phase.READY:
                self._start_failed(instance, error, again=False)

    def refuse(self, instance_id: str, version_id: str, error: StartFailed) -> None:
        """Give up a start that cannot even begin."""
        if instance_id not in self._instances:
            self._effects.start_failed(instance_id, version_id, error)

    def abandon(self, reason: str) -> None:
        """Give up every invocation that still runs, as the node is going down."""
        for instance in list(self._instances.values()):
            self.serving.abandon(instance, reason)

    def kill(self) -> None:
        """End every process without asking."""
        for instance in list(self._instances.values()):
            if instance.process is not None:
                instance.process.kill()

    def _stop(self, instance: Instance) -> None:
        instance.phase = Phase.STOPPING
        if instance.process is None:
            self._forget(instance)
            self._effects.gone(instance.id, InstanceLost("the instance was stopped"))
            return
        instance.may_sleep = instance.may_sleep and self._sleepers.may_join(instance)
        instance.process.send({"t": "sleep" if instance.may_sleep else "stop"})
        patience = SLEEP_PATIENCE_SECONDS if instance.may_sleep else STOP_PATIENCE_SECONDS
        instance.timer = self._loop.later(patience, instance.process.kill)

    def _fell_asleep(self, instance: Instance, own_bytes: int) -> None:
        instance.may_sleep = False
        self._forget(instance)
        self._leave(instance, InstanceLost("the instance was put to sleep"))
        self._release(instance)
        self._sleepers.join(instance, own_bytes)

    def _ended(self, instance: Instance, status: int | None) -> None:
        if self._instances.get(instance.id) is not instance:
            self._release(instance)
            return
        out_of_memory = instance.process is not None and instance.process.ran_out_of_memory
        fault = None if instance.process is None else instance.process.ended_for
        how = describe_exit(status, out_of_memory=out_of_memory, fault=fault)
        if instance.phase is Phase.STARTING:
            said = "".join(f"\n  {line}" for line in instance.process.last_lines) if instance.process else ""
            error = StartFailed(f"the instance's process {how} while it was starting{said}")
            by_itself = status is not None and status >= 0
            may_be_chance = not out_of_memory and fault is None and (instance.woken or not by_itself)
            self._start_failed(instance, error, again=may_be_chance)
            return
        self._forget(instance)
        lost = InstanceLost(f"the process that served the invocation {how}")
        if instance.phase is not Phase.STOPPING:
            self._log(instance, None, "platform", f"the instance {how}")
        self._leave(instance, lost)

    def _leave(self, instance: Instance, error: QuickthawError) -> None:
        """Let go of whatever an instance had that serves no more."""
        self.serving.lose(instance, error)
        self._effects.died(instance.id, error)

    def _forget(self, instance: Instance) -> None:
        if instance.timer is not None:
            instance.timer.cancel()
        self._instances.pop(instance.id, None)
        self._beginnings.look()
        if instance.process is None or instance.process.over:
            self._release(instance)
        else:
            instance.meter.stopping()

    def _release(self, instance: Instance) -> None:
        """Its process is gone, or never was."""
        instance.meter.end(None if instance.process is None else instance.process.ended_at)
        self._effects.released(instance.id)

    def _log_output(self, instance: Instance, invocation: str | None, stream: str, line: str) -> None:
        """Log what its code printed: so many lines a second, however many its process sends."""
        for kept in instance.lines.admit(line, time.monotonic()):
            self._log(instance, invocation, stream, kept)

    def _log(self, instance: Instance, invocation: str | None, stream: str, line: str) -> None:
        fields = {"line": line, "stream": stream, "instance": instance.id}
        if invocation is not None:
            fields["invocation"] = invocation
        self._log_line(instance.order.instance.version.spec.name, fields)
