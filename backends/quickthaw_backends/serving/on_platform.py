"""What the backends that the platform itself runs have in common: a version under an alias, and its instances."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from quickthaw.errors import InvalidRequest, NotFound, StartFailed
from quickthaw.resources import InstanceInfo, UsageRow
from quickthaw.types import FunctionSpec, Version
from quickthaw_platform.serving import Deployment, Endpoint, Load

POLL_SECONDS = 0.05
LEAVE_SECONDS = 60.0
"""How long what ran may take to end, before `down` gives up."""

PERIOD_SECONDS = 3600.0
"""Usage is told by periods, each counted by its beginning: that of the first one lies before the deploy."""

SERVING = ("loaded", "ready")


class OnPlatform(ABC):
    """Implements all of `ServingBackend` but the rule."""

    name: ClassVar[str]

    def __init__(self, deployment: Deployment) -> None:
        if deployment.spec is None or deployment.platform is None or deployment.gateway is None:
            raise InvalidRequest(f"the backend {self.name!r} needs a function on a running platform", param="backend")
        self._platform = deployment.platform
        self._gateway = deployment.gateway
        self._alias = deployment.alias
        self._spec = self.settle(deployment.spec.model_copy(update={"backend": self.name}))
        self._version: Version | None = None
        self._is_up = False
        self._used_before: dict[str | None, UsageRow] = {}  # of the same version, by phase, before it was first up

    @classmethod
    @abstractmethod
    def settle(cls, spec: FunctionSpec) -> FunctionSpec:
        """Fill in the bounds; see `ServingBackend`."""

    def up(self) -> Endpoint:
        """Deploy under the alias and wait for the instances that are always on."""
        if not self._is_up:
            first, self._version = self._version is None, self._platform.deploy(self._spec, self._alias)
            self._is_up = True
            if first:  # others may have deployed the same spec before, which is the same version
                self._used_before = {row.phase: row for row in self._used()}
            wanted = self._spec.min_instances
            limit = self._spec.limits.start
            found = self._wait(lambda: len(self._instances(*SERVING)) >= wanted, limit)
            if not found:
                there = len(self._instances(*SERVING))
                raise StartFailed(
                    f"{there} of {wanted} instances of {self._spec.name!r} were there after {limit:g} s (limit start); "
                    "see `quickthaw logs`, or `quickthaw router explain`"
                )
        return Endpoint(self._gateway.url, f"{self._spec.name}:{self._alias}", self._gateway.headers)

    def load(self) -> Load:
        """Count its instances, their calls, and what waits for the function."""
        instances = self._instances()
        return Load(
            starting=sum(instance.state == "starting" for instance in instances),
            ready=sum(instance.state in SERVING for instance in instances),
            in_use=sum(instance.in_use for instance in instances),
            queued=self._platform.function(self._spec.name).waiting,
        )

    def failure(self) -> str | None:
        """Return nothing: what dies is replaced."""
        return None

    def usage(self) -> list[UsageRow]:
        """Return what the version has used since it was first up, by phase."""
        return [_less(row, self._used_before.get(row.phase)) for row in self._used()]

    def _used(self) -> list[UsageRow]:
        if self._version is None:
            return []
        since = self._version.created_at - PERIOD_SECONDS
        rows = self._platform.usage(since=since, by=("version", "backend", "phase"), function=self._spec.name)
        return [row for row in rows if row.version == self._version.id]

    def down(self) -> None:
        """Take the alias away and wait until no instance of the version is left."""
        if not self._is_up:
            return
        self._is_up = False
        with contextlib.suppress(NotFound):  # somebody was faster
            self._platform.delete_alias(self._spec.name, self._alias)
        if not self._wait(self._is_gone, LEAVE_SECONDS):
            raise StartFailed(f"instances of {self._spec.name!r} have not ended after {LEAVE_SECONDS:g} s")

    def _is_gone(self) -> bool:
        """Stop what is still there: the controller may have started another just before the alias was gone."""
        left = self._instances()
        for instance in left:
            if instance.state != "draining":
                with contextlib.suppress(NotFound):  # it has ended by itself
                    self._platform.stop_instance(instance.id)
        return not left

    def _instances(self, *states: str) -> list[InstanceInfo]:
        if self._version is None:
            return []
        return [
            instance
            for instance in self._platform.instances()
            if instance.version == self._version.id and (not states or instance.state in states)
        ]

    @staticmethod
    def _wait(condition: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True


def _less(row: UsageRow, before: UsageRow | None) -> UsageRow:
    if before is None:
        return row
    amounts = ("seconds", "memory_byte_seconds", "tokens_in", "tokens_out", "tokens_cached", "requests")
    fetched = {tier: size - before.fetched_bytes.get(tier, 0) for tier, size in row.fetched_bytes.items()}
    rest = {name: getattr(row, name) - getattr(before, name) for name in amounts}
    return row.model_copy(update={**rest, "fetched_bytes": fetched})
