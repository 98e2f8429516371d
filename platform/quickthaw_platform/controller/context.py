"""What the controller's rounds work with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from redis import Redis

from quickthaw.types import Version
from quickthaw_platform.contracts import AllocationPolicy, KeepAlivePolicy
from quickthaw_platform.controller.history import KeepTimes
from quickthaw_platform.controller.scaling.samples import Samples
from quickthaw_platform.errors import QuickthawError
from quickthaw_platform.invocations.queues import Queues
from quickthaw_platform.invocations.records import Offer
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.invocations.watch import Watch
from quickthaw_platform.migration.moving import Mover
from quickthaw_platform.router.allocator import Allocator
from quickthaw_platform.router.cluster import redis_allocator
from quickthaw_platform.settings import Settings

_log = structlog.get_logger()


class NodeCommands(Protocol):
    """What the controller tells nodes (worker.commands.Commands). Each may be told twice."""

    def start(self, node: str, instance: str, version_id: str) -> None:
        """Start an instance that is reserved there."""

    def receive(self, offer: Offer) -> None:
        """Take over an invocation that runs elsewhere."""

    def cancel(self, node: str, invocation: str) -> None:
        """Stop working on an invocation."""

    def stop(self, node: str, instance: str) -> None:
        """End an instance."""

    def serve(self) -> None:
        """Bring instances to what waits now, rather than at the next round."""

    def deliver_webhooks(self) -> None:
        """Send the webhooks that are due."""


class Versions(Protocol):
    """What the controller asks the registry (registry.functions.FunctionRegistry)."""

    def version(self, identity: str) -> Version:
        """Return a version; VersionNotFound."""

    def pointed_versions(self) -> Sequence[Version]:
        """Return the versions that aliases point to."""


@dataclass(frozen=True, slots=True)
class Context:
    """The stores, the commands and the settings of one controller process."""

    redis: Redis
    settings: Settings
    commands: NodeCommands
    versions: Versions
    keep_times: KeepTimes
    samples: Samples
    store: InvocationStore
    slots: SlotStore
    queues: Queues
    watch: Watch
    allocator: Allocator
    mover: Mover

    @classmethod
    def make(
        cls,
        redis: Redis,
        settings: Settings,
        commands: NodeCommands,
        versions: Versions,
        allocation: AllocationPolicy,
        keep_alive: KeepAlivePolicy,
    ) -> Context:
        """Put the stores together on one client."""
        slots, store = SlotStore(redis), InvocationStore(redis, settings)
        allocator = redis_allocator(redis, allocation, commands, settings)
        return cls(
            redis=redis,
            settings=settings,
            commands=commands,
            versions=versions,
            keep_times=KeepTimes(redis, keep_alive),
            samples=Samples(redis, settings.controller_interval),
            store=store,
            slots=slots,
            queues=Queues(redis),
            watch=Watch(redis),
            allocator=allocator,
            mover=Mover(store, allocator, versions, commands),
        )


Step = Callable[[Context], None]


def run_steps(context: Context, steps: Sequence[Step]) -> None:
    """Run the steps of a round, each though one before it failed: what one left, the next round finds again."""
    for step in steps:
        try:
            step(context)
        except QuickthawError as error:
            _log.warning("a step of the controller failed", step=step.__name__, error=error.message)
        except Exception:  # noqa: BLE001 - one function's broken record must not stop the care for all others
            _log.exception("a step of the controller broke", step=step.__name__)
