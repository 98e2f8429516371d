"""From the command to start an instance to the fleet's order: what is read, unpacked and waited for on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from redis import Redis

from quickthaw.errors import CheckpointNotFound, QuickthawError, StartFailed
from quickthaw.types import FunctionSpec, Network, Version
from quickthaw_platform.cage import proxy_listener
from quickthaw_platform.cage.levels import demanded
from quickthaw_platform.cage.order import CageOrder
from quickthaw_platform.cage.sharing import let_instances_read
from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.checkpoints.tiers.node import Held, NodeTiers
from quickthaw_platform.contracts import Checkpoint
from quickthaw_platform.control_groups import limits
from quickthaw_platform.control_groups.limits import Limits
from quickthaw_platform.invocations.outage import outage_is_unavailable
from quickthaw_platform.redis_keys import RedisKey
from quickthaw_platform.registry.functions import FunctionRegistry
from quickthaw_platform.registry.sealing import KEY_FILE, KeyFile
from quickthaw_platform.registry.secrets import SecretStore
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker import bundles, sandbox
from quickthaw_platform.worker.fleet import Fleet
from quickthaw_platform.worker.instance_life import StartOrder
from quickthaw_platform.worker.instance_process import InstanceOrder
from quickthaw_platform.worker.loop import Loop
from quickthaw_platform.worker.templates import TemplateOrder

AT_ONCE = 32
ROOM_POLL_SECONDS = 0.01
SPARE_TASKS = 512
"""Processes and threads that an instance may have beyond those of its engine and of its calls."""

LEAVING_SECONDS = 22.0
"""How long an instance that makes room may take to end or to sleep: it is killed before (fleet's patiences)."""

_T = TypeVar("_T")


class Starts:
    """`begin` from any thread; returns at once: to make room in memory may take a while."""

    def __init__(
        self, settings: Settings, redis: Redis, loop: Loop, fleet: Fleet, tiers: NodeTiers, registry: FunctionRegistry,
        *, persist: Callable[[Callable[[], _T]], _T],
    ) -> None:  # fmt: skip
        """`persist` asks Redis, again and again while that is out."""
        self._settings = settings
        self._redis = redis
        self._loop = loop
        self._fleet = fleet
        self._tiers = tiers
        self._registry = registry
        self._secrets = SecretStore(redis)
        self._persist: Callable[..., StartOrder | None] = persist  # type: ignore[assignment]
        self._workdirs = settings.data_dir / "instances" / settings.node
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="agent-start")
        self._closed = False

    def begin(self, instance: str, version_id: str) -> None:
        """Start an instance that has been reserved on this node."""
        self._threads.submit(self._start, instance, version_id, time.monotonic())

    def close(self) -> None:
        """Begin nothing more."""
        self._closed = True
        self._threads.shutdown(cancel_futures=True, wait=False)

    def _start(self, instance: str, version_id: str, received: float) -> None:
        try:
            order = self._persist(lambda: self._start_order(instance, version_id, received))
        except QuickthawError as error:
            self._fail_start(instance, version_id, error)
        except OSError as error:
            self._fail_start(instance, version_id, StartFailed(f"the node cannot prepare the start: {error}"))
        else:
            if order is not None:
                self._wait_for_room(order.after)
                self._loop.post(lambda: self._fleet.start(order))

    def _wait_for_room(self, leaving: Collection[str]) -> None:
        """Wait for instances that make room: their processes must be gone before others take their memory."""
        deadline = time.monotonic() + LEAVING_SECONDS
        while time.monotonic() < deadline and not self._closed:
            if self._loop.ask(lambda: set(leaving).isdisjoint(self._fleet.ids())):
                return
            time.sleep(ROOM_POLL_SECONDS)

    def _start_order(self, instance: str, version_id: str, received: float) -> StartOrder | None:
        """Read and unpack all that a start needs; None when the reservation is gone."""
        with outage_is_unavailable():
            version = self._registry.version(version_id)
            secrets = self._secrets.opened(version.function, KeyFile(self._settings.data_dir / KEY_FILE))
        spec = version.spec
        with outage_is_unavailable(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(RedisKey.INSTANCE.of(instance), ["created_at", "estimate_seconds", "after"])
            pipe.time()
            (created_at, estimate, after), (seconds, micros) = pipe.execute()
        if created_at is None:
            return None
        now = seconds + micros / 1e6 - (time.monotonic() - received)
        asked = time.monotonic()
        held = self._tiers.acquire(version.checkpoint, instance, spec.limits.start)
        adapter = self._acquire_adapter(version, instance)
        return StartOrder(
            node=self._settings.node,
            template=TemplateOrder(version.engine, held.checkpoint, spec.options),
            tier=held.tier,
            tier_seconds=time.monotonic() - asked,
            instance=InstanceOrder(
                id=instance,
                version=version,
                bundle=bundles.materialise(self._settings.bundles_dir, version),
                workdir=self._workdirs / instance,
                env=self._proxy_variables(spec) | spec.env | secrets,
                memory_bytes=spec.memory or self._settings.instance_memory,
                device=self._settings.device,
                threads=self._settings.threads,
                max_output=self._settings.max_output,
                output_interval=self._settings.output_interval,
                limits=self._limits(version, held.checkpoint, None if adapter is None else adapter.checkpoint),
                cage=self._cage(version, (held.checkpoint, *(() if adapter is None else (adapter.checkpoint,)))),
                adapter=None if adapter is None else adapter.checkpoint,
            ),
            queue_seconds=max(0.0, now - float(created_at)),
            received_at=now,
            received=received,
            completed_at=_last_of(held, adapter),
            predicted_seconds=float(estimate) if estimate else None,
            after=tuple(filter(None, (after or "").split(","))),
            fetched_bytes=held.fetched_bytes,
            adapter=adapter,
        )

    def _cage(self, version: Version, checkpoints: Sequence[Checkpoint]) -> CageOrder:
        """Say what the instance is to be isolated by; its workdir is named when it is made."""
        settings, spec = self._settings, version.spec
        own = (settings.bundles_dir / version.id, *(checkpoint.path for checkpoint in checkpoints))
        for folder in own:
            let_instances_read(folder)
        return CageOrder(
            level=demanded(spec, settings.isolation, settings.network),
            network=spec.network or settings.network,
            scratch_bytes=settings.scratch,
            workdir="",
            readable=tuple(map(str, (*own, *settings.readable))),
            hidden=tuple(map(str, {settings.data_dir, settings.checkpoints_dir})),
            gpu=settings.device != "cpu",
            tasks=spec.concurrency + settings.threads + SPARE_TASKS,
        )

    def _limits(self, version: Version, checkpoint: Checkpoint, adapter: Checkpoint | None) -> Limits:
        """Say what all processes of the instance may use together, where the node has control groups."""
        settings, spec = self._settings, version.spec
        threads = spec.concurrency + settings.threads
        memory = limits.memory_of(
            function_bytes=spec.memory or settings.instance_memory,
            scratch_bytes=settings.scratch,
            stacks_bytes=(threads + sandbox.SPARE_THREADS) * sandbox.THREAD_STACK_BYTES,
            weights_bytes=Manifest.of(checkpoint).weights_bytes,
            adapter_bytes=0 if adapter is None else Manifest.of(adapter).weights_bytes,
        )
        on_cpu = settings.device == "cpu"  # what CUDA takes of the host's memory is the platform's
        return Limits(memory if on_cpu else None, threads + SPARE_TASKS, spec.weight)

    def _proxy_variables(self, spec: FunctionSpec) -> dict[str, str]:
        egress = (spec.network or self._settings.network) is Network.EGRESS
        return proxy_listener.variables() if egress else {}

    def _acquire_adapter(self, version: Version, instance: str) -> Held | None:
        """Have the version's adapter in memory or on its way there, for the instance like its model."""
        if version.adapter_checkpoint is None:
            return None
        try:
            return self._tiers.acquire(version.adapter_checkpoint, instance, version.spec.limits.start)
        except (StartFailed, CheckpointNotFound) as error:
            raise StartFailed(f"adapter {version.spec.adapter!r}: {error.message}") from error

    def _fail_start(self, instance: str, version_id: str, error: QuickthawError) -> None:
        if self._closed:
            return
        self._tiers.release(instance)
        cause = StartFailed(error.message)
        self._loop.post(lambda: self._fleet.refuse(instance, version_id, cause))


def _last_of(model: Held, adapter: Held | None) -> Callable[[], float | None]:
    """Return when the weights of both were there; the function that does gives None while some are on their way."""
    if adapter is None:
        return model.completed_at

    def completed_at() -> float | None:
        times = (model.completed_at(), adapter.completed_at())
        return None if None in times else max(time for time in times if time is not None)

    return completed_at
