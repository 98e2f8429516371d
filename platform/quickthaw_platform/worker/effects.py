"""What the fleet's events cause in Redis, each as a job of the writer's thread."""

from __future__ import annotations

from collections.abc import Callable

from quickthaw_platform.contracts import InstanceState
from quickthaw_platform.errors import QuickthawError
from quickthaw_platform.invocations.queues import Queues
from quickthaw_platform.invocations.records import Lease
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.worker.writer import Job

SERVING = (InstanceState.LOADED, InstanceState.READY)


class RedisEffects:
    """Implements `fleet.Effects`; what Redis answers goes back through the callbacks, from the writer's thread."""

    def __init__(
        self,
        store: InvocationStore,
        slots: SlotStore,
        queues: Queues,
        *,
        submit: Callable[[Job], None],
        on_idle: Callable[[str], None],
        on_refused: Callable[[str], None],
        on_released: Callable[[str], None],
        on_died: Callable[[], None],
    ) -> None:
        """`on_idle` takes an instance that nothing waits for, `on_refused` one that Redis forgot or drains, and
        `on_released` one whose process is no more; `on_died` has the controller look at what waits.
        """
        self._store = store
        self._slots = slots
        self._queues = queues
        self._submit = submit
        self._on_idle = on_idle
        self._on_refused = on_refused
        self.released = on_released
        self._on_died = on_died

    def loaded(self, instance: str) -> None:
        """Give the instance what waits, or have it prove itself."""
        self._submit(lambda: self._serve(instance, self._slots.loaded))

    def ready(self, instance: str) -> None:
        """Open its slots to newcomers."""
        self._submit(lambda: self._serve(instance, self._slots.ready))

    def draining(self, instance: str) -> None:
        """Close its slots."""
        self._submit(lambda: self._drain(instance))

    def gone(self, instance: str, error: QuickthawError) -> None:
        """Forget it, and settle what it held."""
        self._submit(lambda: self._remove(instance, error))

    def died(self, instance: str, error: QuickthawError) -> None:
        """Forget it, settle what it held, and have another take that up."""
        self._submit(lambda: self._remove(instance, error))
        self._submit(self._on_died)

    def start_failed(self, instance: str, version: str, error: QuickthawError) -> None:
        """Forget it; what waits fails with the cause, unless another instance serves the version."""
        self._submit(lambda: self._fail_start(instance, version, error))

    def _serve(self, instance: str, advance: Callable[[str], bool]) -> None:
        if not advance(instance):
            self._on_refused(instance)
            return
        if not self._store.claim(instance):
            self._on_idle(instance)

    def _drain(self, instance: str) -> None:
        self._slots.drain(instance)

    def _remove(self, instance: str, error: QuickthawError) -> None:
        for lease in self._slots.remove(instance):
            self._settle(lease, error)

    def _settle(self, lease: Lease, error: QuickthawError) -> None:
        self._store.lose(lease.invocation, lease.epoch, error.message, error)

    def _fail_start(self, instance: str, version: str, error: QuickthawError) -> None:
        self._slots.note_failure(version, error.message)
        self._remove(instance, error)
        if not any(other.state in SERVING for other in self._slots.instances(version=version)):
            self._queues.fail_waiting(version, error)
