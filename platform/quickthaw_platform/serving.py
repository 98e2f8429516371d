"""The contract of serving backends: ways in which a model function can be kept served, so that they can be compared.

A backend plays two parts. To the platform it is a rule (`settle`, and two flags): how many instances a version has, and
what may start one. To a comparison it is a driver: `up` makes it serve, `usage` says what that took, `down` ends it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from quickthaw.resources import InstanceInfo, UsageRow
from quickthaw.types import FunctionInfo, FunctionSpec, Version


class Platform(Protocol):
    """What a backend asks of a running platform; `quickthaw.Client` fulfils it. All methods block."""

    def deploy(self, spec: FunctionSpec, alias: str = "live") -> Version:
        """Make a version and point `alias` to it."""

    def delete_alias(self, name: str, alias: str) -> None:
        """Forget an alias of the function `name`; NotFound where there is none."""

    def function(self, name: str) -> FunctionInfo:
        """Describe a function."""

    def instances(self) -> list[InstanceInfo]:
        """List the instances of all functions."""

    def stop_instance(self, id: str) -> None:
        """Let an instance finish what runs and end it."""

    def usage(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        by: Sequence[str] = ("function", "phase"),
        function: str | None = None,
    ) -> list[UsageRow]:
        """Add up what was used."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where calls go: an OpenAI-compatible server, the model's name there, and what every request carries."""

    url: str  # up to and without /v1
    model: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a backend is to serve, and with what.

    `spec` and `platform` are for those that the platform runs, `endpoint` and `options` for one that runs elsewhere.
    """

    spec: FunctionSpec | None = None
    alias: str = "live"
    platform: Platform | None = None
    gateway: Endpoint | None = None  # the platform's own; its `model` is of no account
    endpoint: Endpoint | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a backend is at one moment; None where that cannot be known from outside."""

    starting: int | None = None
    ready: int | None = None
    in_use: int | None = None
    queued: int | None = None


class ServingBackend(Protocol):
    """One way of serving. A class is registered under the entry point group `quickthaw.serving_backends`."""

    starts_on_demand: ClassVar[bool]
    """Whether a waiting call starts an instance beyond those always on; else only the concurrency's average does."""

    keeps_idle: ClassVar[bool]
    """Whether an idle instance that is not wanted any more stays for its keep-alive time."""

    def __init__(self, deployment: Deployment) -> None:
        """Raise InvalidRequest, naming the field, where the deployment does not suit. Nothing is started yet."""

    @classmethod
    def settle(cls, spec: FunctionSpec) -> FunctionSpec:
        """Return the spec with its bounds filled in: `replicas`, `min_instances`, `max_instances`. Pure and idempotent.

        Raises InvalidRequest, naming the field, for what this backend cannot honour.
        """

    def up(self) -> Endpoint:
        """Make it serve, and return where. Blocks until all that is always on is there. Idempotent.

        Raises StartFailed with the cause.
        """

    def load(self) -> Load:
        """Return how busy it is now."""

    def failure(self) -> str | None:
        """Return why it will not serve any more, though it is up; None: nothing is known against it."""

    def usage(self) -> list[UsageRow]:
        """Return what has been used by it so far, by phase; the figures only grow while it is up."""

    def down(self) -> None:
        """End all that `up` began, and block until it is gone. Idempotent; what was used stays told."""
