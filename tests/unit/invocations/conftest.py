from __future__ import annotations

import pytest
from redis import Redis

from quickthaw_platform.invocations.queues import Queues
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import InvocationStore
from quickthaw_platform.invocations.watch import Watch
from quickthaw_platform.settings import Settings
from tests.state import announce_node


@pytest.fixture
def store(redis: Redis, platform_settings: Settings) -> InvocationStore:
    """A store on an empty Valkey with one announced node, n1."""
    announce_node(redis)
    return InvocationStore(redis, platform_settings)


@pytest.fixture
def slots(redis: Redis) -> SlotStore:
    return SlotStore(redis)


@pytest.fixture
def queues(redis: Redis) -> Queues:
    return Queues(redis)


@pytest.fixture
def watch(redis: Redis) -> Watch:
    return Watch(redis)
