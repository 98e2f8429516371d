"""The node agent: puts loop, writer, zygotes, templates and instances together, and takes the platform's commands."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import structlog
from redis import Redis

from quickthaw.errors import InstanceLost, NodeLost, QuickthawError, StartFailed
from quickthaw.types import Isolation
from quickthaw_platform import redis_client
from quickthaw_platform.cage.levels import Grant
from quickthaw_platform.checkpoints.tiers import status
from quickthaw_platform.contracts import NodeState
from quickthaw_platform.control_groups.group import Group
from quickthaw_platform.control_groups.groups import ControlGroups
from quickthaw_platform.errors import Unavailable
from quickthaw_platform.invocations.queues import Queues
from quickthaw_platform.invocations.records import Lease, Offer
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.metering import tracing
from quickthaw_platform.metering.usage.endings import Endings
from quickthaw_platform.metering.usage.node_meter import NodeMeter
from quickthaw_platform.metering.usage.store import UsageStore
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.registry.functions import FunctionRegistry
from quickthaw_platform.registry.sealing import KEY_FILE, KeyFile
from quickthaw_platform.registry.secrets import SecretStore
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker import processes
from quickthaw_platform.worker.arrivals import Arrivals
from quickthaw_platform.worker.beginnings import Beginnings
from quickthaw_platform.worker.calls import Calls
from quickthaw_platform.worker.checkpoints import NodeCheckpoints
from quickthaw_platform.worker.commands import Commands
from quickthaw_platform.worker.effects import RedisEffects
from quickthaw_platform.worker.egress_proxy import EgressProxy
from quickthaw_platform.worker.fleet import Fleet
from quickthaw_platform.worker.flight import Work
from quickthaw_platform.worker.heartbeat import Beat, Heartbeat
from quickthaw_platform.worker.instance_process import InstanceOrder
from quickthaw_platform.worker.journal import Journal
from quickthaw_platform.worker.launcher import Launcher
from quickthaw_platform.worker.learning import Learning
from quickthaw_platform.worker.log_lines import LogLines
from quickthaw_platform.worker.loop import Loop
from quickthaw_platform.worker.primed import PrimedTemplates, usable_budget
from quickthaw_platform.worker.primed_process import Hooks
from quickthaw_platform.worker.probe import probe_tiers
from quickthaw_platform.worker.sleepers import Sleepers
from quickthaw_platform.worker.starts import Starts
from quickthaw_platform.worker.templates import Templates
from quickthaw_platform.worker.work import Intake
from quickthaw_platform.worker.writer import Writer
from quickthaw_platform.worker.zygotes import Zygotes

DRAIN_POLL_SECONDS = 0.05
EXIT_PATIENCE_SECONDS = 2.0

WRITE_PATIENCE_SECONDS = 5.0
"""How long the last changes may wait for Redis at shutdown."""

_RETRY_SECONDS = 0.2

_log = structlog.get_logger()
_T = TypeVar("_T")


class Agent:
    """One node. `start`, then commands from any thread, then `drain` and `stop`.

    Each command may come twice, late, or never.
    """

    def __init__(self, settings: Settings, redis: Redis, commands: Commands) -> None:
        self._settings = settings
        self._redis = redis
        self._store = InvocationStore(redis, settings)
        self._slots = SlotStore(redis)
        self._registry = FunctionRegistry(redis)
        self._workdirs = settings.data_dir / "instances" / settings.node
        self._draining = False
        self._stopping = False
        self._ready = threading.Event()
        self._grant = Grant(Isolation.NONE, "the zygote has not tried it yet")
        self._groups = ControlGroups()
        self._loop = Loop()
        self.checkpoints = self._make_checkpoints()
        own = redis_client.for_one_thread(redis)  # the writer's
        lines = LogLines(own, settings.max_log_lines)
        self._writer = Writer(InvocationStore(own, settings), lines, on_stale=self._stale)
        self._calls = self._make_calls()
        self._zygotes = self._make_zygotes()
        self._templates = self._make_templates()
        self._primed = self._make_primed()
        self._beginnings = Beginnings(self._primed)
        self._sleepers = Sleepers(settings.sleep_budget, on_change=lambda: self._heartbeat.soon())
        self._proxy = EgressProxy(self._loop, settings.egress_allow, settings.log_level)
        learning = Learning(redis, settings.node)
        self._meters = NodeMeter(UsageStore(redis, settings.usage_retention), Endings(redis), settings.usage_period)
        self._effects = self._make_effects(commands)
        launcher = Launcher(
            self._loop, self._templates, self._beginnings, self._sleepers, self._proxy, group=self._group
        )
        self._fleet = Fleet(
            self._loop,
            self._writer,
            launcher,
            self._beginnings,
            self._sleepers,
            self._effects,
            learning=learning,
            meters=self._meters,
            tracer=tracing.configure("worker"),
            log=self._log,
        )
        self._serving = self._fleet.serving
        intake = Intake(redis, self._store, settings.node)
        self._arrivals = Arrivals(
            self._loop, self._serving, intake, self._store, commands, self._slots, learning, persist=self._persist
        )
        self._starts = Starts(
            settings, redis, self._loop, self._fleet, self.checkpoints.tiers, self._registry, persist=self._persist
        )
        self._heartbeat = self._make_heartbeat(learning)

    def start(self) -> None:
        """Clean up after a predecessor, start the zygotes, announce the node once they are ready. Does not block."""
        processes.become_subreaper()
        shutil.rmtree(self._workdirs, ignore_errors=True)
        self._groups.start()
        self._loop.start()
        self._writer.start()
        self._calls.start()
        self._loop.post(self._zygotes.start)
        self._writer.submit(self._bury_predecessor)
        self.checkpoints.start()
        threading.Thread(target=self._announce, name="agent-announce", daemon=True).start()
        threading.Thread(target=self._probe, name="agent-probe", daemon=True).start()

    def drain(self) -> None:
        """Take nothing new, let what runs finish within the patience of the settings; blocks. Idempotent."""
        self._draining = True
        self._heartbeat.soon()
        self._loop.post(self._drain_fleet)
        deadline = time.monotonic() + self._settings.drain_timeout
        while time.monotonic() < deadline and not self._stopping and self._loop.ask(lambda: len(self._fleet)):
            time.sleep(DRAIN_POLL_SECONDS)

    def stop(self) -> None:
        """End everything: invocations that still run are given up, no process stays behind. Blocks. Idempotent."""
        if self._stopping:
            return
        self._stopping = self._draining = True
        self._loop.ask(lambda: self._fleet.abandon(f"node {self._settings.node} was shut down"))
        self._loop.ask(self._close_processes)
        deadline = time.monotonic() + EXIT_PATIENCE_SECONDS
        while time.monotonic() < deadline and self._loop.ask(self.pids):
            time.sleep(DRAIN_POLL_SECONDS)
        self._loop.ask(self._kill_processes)
        self._starts.close()
        self._calls.close()
        self._arrivals.close()
        self.checkpoints.close()
        self._writer.close(WRITE_PATIENCE_SECONDS)
        self._loop.close()
        if self._ready.is_set():
            self._heartbeat.close()
        self._meters.close()
        shutil.rmtree(self._workdirs, ignore_errors=True)

    def pids(self) -> dict[str, int]:
        """Return the processes under this agent by what they are. For the loop's thread; see `Loop.ask`."""
        proxy = {} if self._proxy.pid is None else {"proxy": self._proxy.pid}
        forked = self._templates.pids() | self._primed.pids() | self._fleet.pids() | self._sleepers.pids()
        return self._zygotes.pids() | proxy | forked

    def start_instance(self, instance: str, version_id: str) -> None:
        """Start an instance that has been reserved here. Returns at once: to make room in memory may take a while."""
        if self._draining:
            self.stop_instance(instance)
        else:
            self._starts.begin(instance, version_id)

    def receive(self, invocation: str, epoch: int, instance: str) -> None:
        """Take over an invocation that is offered to an instance here, and runs elsewhere. Returns at once."""
        self._arrivals.receive(Offer(invocation, epoch, instance, self._settings.node))

    def cancel(self, invocation: str, before_epoch: int | None = None) -> None:
        """Stop working on an invocation that has ended, or that this node owned before an epoch."""
        self._loop.post(lambda: self._serving.cancel(invocation, before_epoch))

    def stop_instance(self, instance: str) -> None:
        """Stop an instance when what runs on it has ended."""
        self._loop.post(lambda: self._fleet.stop(instance))

    def drain_node(self) -> None:
        """Take nothing new on this node from now on."""
        self._draining = True
        self._heartbeat.soon()
        self._loop.post(self._drain_fleet)

    def _make_calls(self) -> Calls:
        """Make what takes up calls."""
        return Calls(
            self._redis,
            self._settings,
            on_work=lambda work: self._loop.post(lambda: self._hand_over(work)),
            persist=self._persist,
        )

    def _make_checkpoints(self) -> NodeCheckpoints:
        """Make the tiers, which tell of what is to go and of what failed to come."""
        return NodeCheckpoints(
            self._settings,
            self._redis,
            drop_templates=lambda checkpoint: self._loop.post(lambda: self._templates.forget(checkpoint)),
            on_failed=lambda checkpoint, error: self._loop.post(lambda: self._lose_checkpoint(checkpoint, error)),
            on_change=lambda: self._heartbeat.soon(),
        )

    def _make_zygotes(self) -> Zygotes:
        """Make the zygotes, which tell of the templates that they forked and of their ends."""
        return Zygotes(
            self._loop,
            self._settings.preloaded_modules,
            isolation=self._settings.isolation,
            on_forked=lambda key, pid: self._templates.forked(key, pid),
            on_exited=lambda pid, status: self._templates.reported(pid, status),
            on_ready=self._zygotes_ready,
        )

    def _zygotes_ready(self, grant: Grant) -> None:
        self._grant = grant
        self._ready.set()

    def _group(self, order: InstanceOrder) -> Group | None:
        """Make the control group of one try of an instance, which its workdir is named after."""
        name = f"{order.id}-{order.workdir.name}"
        return self._groups.make(name, order.limits, ends_anyway=self._grant.level is Isolation.STRICT)

    def _make_templates(self) -> Templates:
        """Make the templates, which tell of what they forked and of what they map."""
        return Templates(
            self._loop,
            self._zygotes,
            on_forked=lambda instance, pid: self._fleet.forked(instance, pid),
            on_exited=self._exited,
            on_made=self.checkpoints.tiers.memory.keep_for_template,
            on_gone=self.checkpoints.tiers.release,
            on_primed=lambda key, pid: self._primed.forked(key, pid),
            on_lost=lambda key: self._primed.forget_template(key),
        )

    def _make_primed(self) -> PrimedTemplates:
        """Make the primed templates, which give way to starts."""
        return PrimedTemplates(
            self._loop,
            self.checkpoints.tiers.prefixes,
            usable_budget(self._settings.prefix_budget, self._settings.device),
            template=self._templates.find,
            is_busy=lambda: self._draining or self._fleet.starting(),
            hooks=Hooks(
                forked=lambda instance, pid: self._fleet.forked(instance, pid),
                exited=lambda pid, status: self._fleet.reported(pid, status),
                made=self.checkpoints.tiers.memory.keep_for_template,
                gone=self.checkpoints.tiers.release,
                changed=lambda: self._heartbeat.soon(),
            ),
        )

    def _make_effects(self, commands: Commands) -> RedisEffects:
        """Make what the fleet causes in Redis."""
        return RedisEffects(
            self._store,
            self._slots,
            Queues(self._redis),
            submit=self._writer.submit,
            on_idle=lambda instance: self._loop.post(lambda: self._fleet.idle(instance)),
            on_refused=lambda instance: self._loop.post(lambda: self._fleet.drain(instance)),
            on_released=self.checkpoints.tiers.release,
            on_died=commands.serve,
        )

    def _make_heartbeat(self, learning: Learning) -> Heartbeat:
        """Make the heartbeat, with what is written along with each beat."""
        return Heartbeat(
            self._redis,
            self._settings,
            self.checkpoints.disk,
            Catalogue(self._redis),
            self._beat,
            on_new=self._say_what_is_here,
            on_beat=(self._meters.flush, learning.flush, self._forget_deleted),
        )

    def _say_what_is_here(self) -> None:
        """Tell of the checkpoints, and how secrets are sealed to this node. Called anew after an outage."""
        SecretStore(self._redis).announce(KeyFile(self._settings.data_dir / KEY_FILE))
        self.checkpoints.look()

    def _announce(self) -> None:
        self._ready.wait()
        if not self._stopping:
            self._heartbeat.start()

    def _probe(self) -> None:
        probe_tiers(self._settings, self.checkpoints.disk, self.checkpoints.tiers.bandwidths)
        self._heartbeat.soon()

    def _beat(self) -> Beat:
        return Beat(
            state=NodeState.DRAINING if self._draining else NodeState.READY,
            device=self._settings.device,
            memory_bytes=self._settings.node_memory,
            templates=self._loop.ask(self._templates.checkpoints),
            primed=self._loop.ask(self._primed.versions),
            asleep=self._loop.ask(self._sleepers.versions),
            tiers=status.describe(self.checkpoints.tiers, self.checkpoints.push_failures),
            grant=self._grant,
            delegation=self._groups.delegation,
        )

    def _exited(self, pid: int, status: int) -> None:
        """Something that a template forked has ended: an instance or a primed template."""
        self._fleet.reported(pid, status)
        self._primed.reported(pid, status)

    def _forget_deleted(self) -> None:
        """Drop what was primed and learnt for versions of functions that were deleted, and what of them sleeps.

        Raises Unavailable when Redis is.
        """
        known = self._loop.ask(lambda: self._beginnings.versions() | self._sleepers.versions())
        deleted = self._registry.deleted(known) if known else frozenset()
        if deleted:
            self._loop.post(lambda: self._beginnings.forget(deleted))
            self._loop.post(lambda: self._sleepers.forget(deleted))

    def _bury_predecessor(self) -> None:
        """A worker of this node that was killed has left instances in Redis whose processes are gone."""
        error = NodeLost(f"node {self._settings.node} was started anew")
        mine = self._loop.ask(self._fleet.ids)  # Redis may have been out until some had started
        for view in self._slots.instances(node=self._settings.node):
            if view.id in mine:
                continue
            for lease in self._slots.remove(view.id):
                self._store.lose(lease.invocation, lease.epoch, error.message, error)

    def _hand_over(self, work: Work) -> None:
        if not self._serving.invoke(work):
            lease = Lease(work.invocation, work.epoch)
            error = InstanceLost("the instance that was to serve the invocation is gone")
            ghost = work.instance not in self._fleet.ids()  # if Redis still has it: nothing more must come to it
            self._writer.submit(lambda: self._give_back(lease, error, ghost))
            if ghost:
                self._effects.died(work.instance, error)

    def _give_back(self, lease: Lease, error: QuickthawError, ghost: bool) -> None:
        self._store.lose(lease.invocation, lease.epoch, error.message, error, ran=False, with_instance=ghost)

    def _lose_checkpoint(self, checkpoint: str, error: QuickthawError) -> None:
        self._templates.forget(checkpoint)
        self._fleet.lose_checkpoint(checkpoint, StartFailed(error.message))

    def _stale(self, journal: Journal) -> None:
        self._loop.post(lambda: self._serving.cancel(journal.invocation, journal.epoch + 1))

    def _log(self, function: str, fields: Mapping[str, str]) -> None:
        self._writer.log(function, {"t": f"{time.time():.6f}", "node": self._settings.node, **fields})

    def _drain_fleet(self) -> None:
        self._sleepers.close()
        for instance in self._fleet.ids():
            self._fleet.drain(instance)

    def _close_processes(self) -> None:
        self._drain_fleet()
        self._primed.close()
        self._templates.close()
        self._zygotes.close()
        self._proxy.close()

    def _kill_processes(self) -> None:
        self._fleet.kill()
        self._primed.kill()
        self._templates.kill()
        self._zygotes.kill()
        self._proxy.kill()

    def _persist(self, change: Callable[[], _T]) -> _T:
        """Make a change, trying again while Redis is out and the agent lives. For the threads of commands."""
        while True:
            try:
                return change()
            except Unavailable:
                if self._stopping:
                    raise
                time.sleep(_RETRY_SECONDS)
