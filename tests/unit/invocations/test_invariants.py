"""Random interleavings of everything that can happen, on a real Valkey, against a model of what must hold."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis

from quickthaw_platform.settings import Settings
from tests.made_up import examples
from tests.unit.invocations.interleaved.agents import Agents
from tests.unit.invocations.interleaved.callers import Callers
from tests.unit.invocations.interleaved.controllers import Controllers
from tests.unit.invocations.interleaved.invariants import Invariants


class Platform(Callers, Agents, Controllers, Invariants):
    """The callers of the stores (gateways, agents, controllers), each call possibly late, stale or repeated."""


@pytest.fixture
def machine(redis: Redis, platform_settings: Settings) -> type[Platform]:
    """The machine on this test's Valkey."""
    return type("PlatformHere", (Platform,), {"redis": redis, "settings": platform_settings})


def test_whatever_happens_in_whatever_order_the_invariants_hold(machine: type[Platform]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=examples(30), stateful_step_count=40, suppress_health_check=list(HealthCheck)),
    )
