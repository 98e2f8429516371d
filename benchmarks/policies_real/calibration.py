"""What the idle platform itself takes: a warm call, a start by each way, an instance's leaving."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from benchmarks.policies_real.calls import one
from benchmarks.policies_real.nodes import Checkpoints, RealNodes
from benchmarks.policies_real.settings import calibrated, homes
from quickthaw_platform.contracts import Way
from quickthaw_platform.simulator.scenario import FunctionGroup, NodeGroup, Scenario

POLICY = "locality"
"""Starts where the weights are nearest: the way of the next start is known."""

WARM_CALLS = 5
SETTLE_SECONDS = 1.0
LEAST_SECONDS = 1e-3


@dataclass(frozen=True, slots=True)
class Calibration:
    """Medians, in seconds."""

    first_token: float  # of a warm call, prefill included
    inits: dict[Way, float]  # of a start by each way, beyond its load and that
    stop: float  # by which a start is later for an instance that makes room

    def applied_to(self, scenario: Scenario) -> Scenario:
        """Return the scenario as this platform serves it."""
        return calibrated(scenario, self.first_token, self.inits, self.stop)

    def settings(self) -> dict[str, Any]:
        """Return it as JSON carries it."""
        inits = {way.value: round(seconds, 4) for way, seconds in self.inits.items()}
        return {"first token s": round(self.first_token, 4), "init s": inits, "stop s": round(self.stop, 4)}


def calibrate(scenario: Scenario, checkpoints: Checkpoints, rounds: int) -> Calibration:
    """Bring the platform up, and start instances by each way, and where one makes room, with nothing else going on."""
    warm: list[float] = []
    cold: defaultdict[Way, list[float]] = defaultdict(list)
    crowded: list[float] = []
    with RealNodes(scenario, POLICY, checkpoints) as platform:
        for name in scenario.function_names()[:rounds]:
            tier = _Subject(platform, scenario, name)
            for prepare in (tier.beyond, tier.ready, tier.in_memory, tier.on_disk):
                prepare()
                time.sleep(SETTLE_SECONDS)
                with platform.one_more_start() as ways:
                    first = tier.call()
                cold[Way(ways[0])].append(first)
                warm += [tier.call() for _ in range(WARM_CALLS)]
                place = tier.stop()
            tier.fill(place)
            time.sleep(SETTLE_SECONDS)
            with platform.one_more_start() as ways:
                first = tier.call()
            if ways == [Way.TEMPLATE]:
                crowded.append(first)
            platform.stop_instances()
    missing = [way.value for way in Way if not (way in cold or way.is_of_a_version)]
    missing += [] if crowded else ["a template on a full node"]
    if missing:
        raise RuntimeError(f"the calibration saw no start by way of {', '.join(missing)}")
    first_token = median(warm)
    (group,), (node, *_) = scenario.functions, scenario.nodes
    inits = {
        way: max(LEAST_SECONDS, median(found) - first_token - _load(way, group, node)) for way, found in cold.items()
    }
    return Calibration(first_token, inits, max(LEAST_SECONDS, median(crowded) - median(cold[Way.TEMPLATE])))


def _load(way: Way, group: FunctionGroup, node: NodeGroup) -> float:
    """Return what moving the bytes takes by the scenario."""
    rates = node.bandwidths
    rate = {Way.DRAM: rates.dram, Way.DISK: rates.disk, Way.REMOTE: rates.remote}.get(way)
    return 0.0 if rate is None else group.checkpoint / rate


@dataclass(frozen=True, slots=True)
class _Subject:
    """A function that is brought into one state after another."""

    platform: RealNodes
    scenario: Scenario
    name: str

    def call(self) -> float:
        """Return the seconds to the first token."""
        (group,) = self.scenario.functions
        assert isinstance(group.tokens_in, int)
        assert isinstance(group.tokens_out, int)
        return one(self.platform, self.name, group.tokens_in, group.tokens_out)

    def beyond(self) -> None:
        """Have its checkpoint in the remote tier only."""
        self.platform.evict_everywhere(self.name, "disk")

    def ready(self) -> None:
        """Leave its template as it is."""

    def in_memory(self) -> None:
        """Have its checkpoint in memory without a template."""
        self.platform.drop_templates()

    def on_disk(self) -> None:
        """Have its checkpoint on a disk and in no memory."""
        self.platform.evict_everywhere(self.name, "dram")

    def stop(self) -> str:
        """Stop its instance, and return the node that it was on."""
        (instance,) = self.platform.client.instances()
        self.platform.stop_instances()
        return instance.node

    def fill(self, node: str) -> None:
        """Have idle instances of others take all of a node's memory."""
        (group,), (nodes,) = self.scenario.functions, self.scenario.nodes
        others = [name for name, at in reversed(homes(self.scenario).items()) if node in at and name != self.name]
        for other in others[: nodes.memory // group.memory]:
            replace(self, name=other).call()
