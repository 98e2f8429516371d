"""Processes that served a version, were stopped and sleep: a start of the version wakes one, which is all it takes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import structlog

from quickthaw_platform.checkpoints.manifest import Manifest
from quickthaw_platform.worker.instance_life import Instance
from quickthaw_platform.worker.instance_process import InstanceOrder, InstanceProcess

MB = 1_000_000

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sleeper:
    """A sleeping process."""

    order: InstanceOrder  # that it served by
    process: InstanceProcess
    bytes: int  # of the node's memory that it has for itself


class Sleepers:
    """For the loop's thread only."""

    def __init__(self, budget_bytes: int, *, on_change: Callable[[], None]) -> None:
        """`budget_bytes`: of the node's memory, for all together. `on_change` hears that other versions sleep."""
        self._budget_bytes = budget_bytes
        self._on_change = on_change
        self._sleepers: dict[str, Sleeper] = {}  # by the id of the instance that it was, the latest last
        self._ending: dict[str, InstanceProcess] = {}  # those that were killed, until they are gone
        self._too_large: set[str] = set()  # ids of versions
        self._closed = False

    def versions(self) -> frozenset[str]:
        """Return the ids of versions that a process sleeps of."""
        return frozenset(sleeper.order.version.id for sleeper in self._sleepers.values())

    def pids(self) -> dict[str, int]:
        """Return the process id of each by what it was."""
        processes = {name: sleeper.process for name, sleeper in self._sleepers.items()} | self._ending
        return {f"asleep {name}": process.pid for name, process in processes.items() if process.pid is not None}

    def may_join(self, instance: Instance) -> bool:
        """Whether an instance that has nothing to do any more may sleep rather than end.

        None with code of the function's own may: it could run on, and nobody is charged for what sleeps.
        """
        version = instance.order.instance.version
        if not self._budget_bytes or self._closed or version.spec.handler is not None:
            return False
        return instance.can_sleep and not instance.deaf and self._fits(version.id, _weights_bytes(instance))

    def join(self, instance: Instance, own_bytes: int) -> None:
        """Take in one that sleeps, and end those that have slept longest where all have more than the budget."""
        process, name = instance.process, instance.id
        assert process is not None
        self._sleepers[name] = Sleeper(instance.order.instance, process, max(own_bytes, _weights_bytes(instance)))
        process.listener = replace(process.listener, end=lambda _status: self._ended(name))
        if self._closed:
            self._end(name)
            return
        self._make_room(name)
        self._on_change()

    def take(self, order: InstanceOrder) -> InstanceProcess | None:
        """Return a process that sleeps and can serve an order, the latest first; None: none can.

        One that has other secrets or variables in its environment cannot, nor will it ever: it is ended.
        """
        for name, sleeper in reversed(list(self._sleepers.items())):
            if sleeper.order.version.id != order.version.id:
                continue
            if sleeper.order.env == order.env:
                del self._sleepers[name]
                self._on_change()
                return sleeper.process
            self._end(name)
        return None

    def reported(self, pid: int, status: int) -> None:
        """Take a template's word on how a process ended; that of another is ignored."""
        processes = (*(sleeper.process for sleeper in self._sleepers.values()), *self._ending.values())
        for process in processes:
            if process.pid == pid:
                process.reported(status)

    def forget(self, versions: Collection[str]) -> None:
        """End those of versions that are no more."""
        self._too_large.difference_update(versions)
        for name in [name for name, s in self._sleepers.items() if s.order.version.id in versions]:
            self._end(name)

    def close(self) -> None:
        """End all, and let none sleep any more."""
        self._closed = True
        for name in list(self._sleepers):
            self._end(name)

    def _make_room(self, newest: str) -> None:
        sleeper = self._sleepers[newest]
        if not self._fits(sleeper.order.version.id, sleeper.bytes):
            self._end(newest)
        while sum(s.bytes for s in self._sleepers.values()) > self._budget_bytes:
            self._end(next(iter(self._sleepers)))

    def _fits(self, version: str, size: int) -> bool:
        """Whether the budget has room for one of a version; one that was too large is so for ever, and said so once."""
        if version not in self._too_large and size > self._budget_bytes:
            self._too_large.add(version)
            reason = (
                f"asleep it has {size / MB:,.0f} MB, the budget is {self._budget_bytes / MB:,.0f} MB (sleep_budget)"
            )
            _log.warning("instances of a version end rather than sleep", version=version, reason=reason)
        return version not in self._too_large

    def _end(self, name: str) -> None:
        process = self._ending[name] = self._sleepers.pop(name).process
        process.kill()
        self._on_change()

    def _ended(self, name: str) -> None:
        self._ending.pop(name, None)
        if self._sleepers.pop(name, None) is not None:
            _log.warning("a sleeping process ended", instance=name)
            self._on_change()


def _weights_bytes(instance: Instance) -> int:
    """Return what the weights take, which a process that sleeps has in its memory."""
    return Manifest.of(instance.order.template.checkpoint).weights_bytes
