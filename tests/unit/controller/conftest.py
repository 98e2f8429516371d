from __future__ import annotations

from collections.abc import Sequence

import pytest
from redis import Redis

from quickthaw.types import Version
from quickthaw_platform.controller.context import Context
from quickthaw_platform.controller.policies.fixed import FixedKeepAlive
from quickthaw_platform.errors import VersionNotFound
from quickthaw_platform.router.policies.least_loaded import LeastLoadedPolicy
from quickthaw_platform.settings import Settings
from tests.recording import RecordingCommands


class KnownVersions:
    """A registry of versions; those in `pointed` have an alias."""

    def __init__(self) -> None:
        self.known: dict[str, Version] = {}
        self.pointed: set[str] = set()

    def add(self, version: Version, *, pointed: bool = True) -> Version:
        self.known[version.id] = version
        if pointed:
            self.pointed.add(version.id)
        return version

    def version(self, identity: str) -> Version:
        if identity not in self.known:
            raise VersionNotFound(f"no version has the id {identity!r}")
        return self.known[identity]

    def pointed_versions(self) -> Sequence[Version]:
        return [self.known[identity] for identity in sorted(self.pointed)]


@pytest.fixture
def versions() -> KnownVersions:
    return KnownVersions()


@pytest.fixture
def commands() -> RecordingCommands:
    return RecordingCommands()


@pytest.fixture
def context(redis: Redis, platform_settings: Settings, commands: RecordingCommands, versions: KnownVersions) -> Context:
    return Context.make(redis, platform_settings, commands, versions, LeastLoadedPolicy(), FixedKeepAlive())
