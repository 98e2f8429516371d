"""What the handlers of requests work with: one object an application, made by the app factory."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app
from redis import Redis

from quickthaw_platform.gateway.expensive_checks.checks import ExpensiveChecks
from quickthaw_platform.gateway.model_watch import ModelWatch
from quickthaw_platform.gateway.open_requests import OpenRequests
from quickthaw_platform.gateway.prompt_compression.shortener import Shortener
from quickthaw_platform.gateway.quotas import QuotaKeeper
from quickthaw_platform.gateway.store_room import StoreRoom
from quickthaw_platform.gateway.structure_check.checker import StructureChecker
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.invocations.stored import StoredObjects
from quickthaw_platform.invocations.tails import Tails
from quickthaw_platform.migration.moving import Mover
from quickthaw_platform.registry.catalogue import Catalogue
from quickthaw_platform.registry.functions import FunctionRegistry
from quickthaw_platform.registry.keys import KeyStore
from quickthaw_platform.registry.results import Results
from quickthaw_platform.router.allocator import Allocator
from quickthaw_platform.settings import Settings
from quickthaw_platform.worker.commands import Commands

EXTENSION = "quickthaw"


@dataclass(frozen=True, slots=True)
class Services:
    """The owners of all state, as this gateway process reaches them."""

    settings: Settings
    redis: Redis
    registry: FunctionRegistry
    catalogue: Catalogue
    results: Results
    keys: KeyStore
    quotas: QuotaKeeper
    store: InvocationStore
    stored: StoredObjects
    slots: SlotStore
    allocator: Allocator
    commands: Commands
    mover: Mover
    structures: StructureChecker
    checks: ExpensiveChecks
    shortener: Shortener
    models: ModelWatch
    room: StoreRoom
    open_requests: OpenRequests
    tails: Tails

    def close(self) -> None:
        """End the processes that compute for the gateway and are idle; others are started where more is asked."""
        for computes in (self.structures, self.checks, self.shortener):
            computes.close()


def services() -> Services:
    """Return the services of the application that handles the current request."""
    found: Services = current_app.extensions[EXTENSION]
    return found
