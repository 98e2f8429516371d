from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from quickthaw.types import InvocationState
from quickthaw_platform import plugins
from quickthaw_platform.contracts import Way
from quickthaw_platform.errors import NotFound
from quickthaw_platform.invocations.records import Assignment
from quickthaw_platform.simulator.engine import Simulation, next_round, simulate
from quickthaw_platform.simulator.outcome import Outcome, Phase
from quickthaw_platform.simulator.scenario import Scenario
from tests.unit.simulator.scenarios import DEVICE, scenario

BUSY: dict[str, Any] = {
    "invocations": 600, "functions": 6, "zipf": 1.0, "arrivals": {"kind": "gamma", "rate": 1.0, "cv": 3.0},
    "jitter": 0.2, "migration": {}, "function": {"max_instances": 4, "concurrency": 2},
}  # fmt: skip
POLICIES = plugins.names(plugins.ALLOCATION_POLICIES)
KEEP_ALIVES = plugins.names(plugins.KEEP_ALIVE_POLICIES)


class Watched(Simulation):
    """Checks at every turn what must hold."""

    def __init__(self, given: Scenario, policy: str, keep_alive: str = "fixed") -> None:
        self.outcome = Outcome(policy, keep_alive)
        chosen = plugins.allocation_policy(policy), plugins.keep_alive_policy(keep_alive)
        super().__init__(given, *chosen, self.outcome, given.seed)
        self.served: list[tuple[str, int]] = []  # function and number of each call, in order of service

    def serve(self, assignment: Assignment) -> None:
        super().serve(assignment)
        instance = self.world.instances[assignment.instance]
        leased = len(self.world.cluster.instances[instance.id].leases)  # several may have been claimed at once
        assert 0 < instance.leases <= leased <= instance.function.version.spec.concurrency
        for node in self.world.nodes.values():
            there = [i for i in self.world.cluster.instances.values() if i.node == node.id]
            assert sum(i.memory_bytes for i in there) <= node.group.memory
            assert node.dram.used == sum(cached.bytes for cached in node.dram.cached.values()) <= node.dram.budget
        self.served.append((instance.function.name, int(assignment.invocation)))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("keep_alive", KEEP_ALIVES)
def test_every_call_ends_and_no_slot_memory_or_tier_is_given_twice(policy: str, keep_alive: str) -> None:
    simulation = Watched(scenario(**BUSY), policy, keep_alive)
    simulation.run()
    assert simulation.outcome.ended == Counter({InvocationState.SUCCEEDED.value: 600})
    assert not simulation.world.calls
    assert not simulation.world.cluster.calls


def test_calls_of_a_function_are_served_in_the_order_they_came() -> None:
    simulation = Watched(scenario(**(BUSY | {"migration": None})), "startup-time")
    simulation.run()
    for function in {name for name, _ in simulation.served}:
        numbers = [number for name, number in simulation.served if name == function]
        assert numbers == sorted(numbers)


def test_the_same_seed_gives_the_same_outcome_and_another_seed_does_not() -> None:
    one, two = (simulate(scenario(**BUSY), "startup-time", "break-even") for _ in range(2))
    other = simulate(scenario(**BUSY), "startup-time", "break-even", seed=2)
    assert one.ttft == two.ttft
    assert (one.ways, one.phases) == (two.ways, two.phases)
    assert one.ttft != other.ttft


def test_the_same_calls_may_have_other_luck() -> None:
    one, two = (simulate(scenario(**BUSY), "startup-time", "fixed", chance=chance) for chance in (1, 2))
    assert one.ended == two.ended
    assert one.ttft != two.ttft
    assert one.ttft == simulate(scenario(**BUSY), "startup-time", "fixed").ttft


def test_all_policies_see_the_same_work() -> None:
    serving = {simulate(scenario(**BUSY), name, "fixed").phases[Phase.SERVING] for name in ("random", "locality")}
    calls = [simulate(scenario(**BUSY), name, "fixed").ended for name in ("random", "locality")]
    assert calls[0] == calls[1]
    assert max(serving) == pytest.approx(min(serving), rel=0.5)


def test_a_cold_call_waits_for_load_and_init_and_a_warm_one_does_not() -> None:
    trace = {"kind": "poisson", "rate": 1e-9}
    given = scenario(invocations=1, arrivals=trace, placed_on_disks="all")
    outcome = simulate(given, "startup-time", "fixed")
    assert list(outcome.startup) == pytest.approx([1.0 + 0.5])  # 1 GB at 1 GB/s, init
    assert list(outcome.ttft) == pytest.approx([1.5 + 1.0])  # 1,000 tokens at 1,000/s
    assert outcome.phases[Phase.SERVING] == pytest.approx(1.0 + 1.0)  # and 10 tokens at 10/s
    assert outcome.ways == {Way.DISK: 1}


@pytest.mark.parametrize(("in_turn", "second"), [(False, 2.5), (True, 3.5)])
def test_prompts_that_come_together_are_computed_together_or_in_turn(in_turn: bool, second: float) -> None:
    burst = {"kind": "poisson", "rate": 1e9}
    made = scenario(invocations=2, arrivals=burst, placed_on_disks="all", function={"concurrency": 2})
    device = made.devices["gpu"].model_copy(update={"prompts_in_turn": in_turn})
    outcome = simulate(made.model_copy(update={"devices": {"gpu": device}}), "startup-time", "fixed")
    assert sorted(outcome.ttft) == pytest.approx([2.5, second])  # a start of 1.5 s, then 1 s a prompt


def test_starts_on_one_node_read_one_after_another_and_one_checkpoint_once() -> None:
    node = {"count": 1, "memory": "4GB", "dram": "4GB"}
    burst = {"kind": "poisson", "rate": 1e6}
    apart = simulate(scenario(invocations=200, functions=3, node=node, arrivals=burst), "startup-time", "fixed")
    assert sorted(apart.starts)[:3] == pytest.approx([10.5, 20.5, 30.5], abs=0.01)
    together = scenario(invocations=200, node=node, arrivals=burst, function={"max_instances": 3})
    assert sorted(simulate(together, "random", "fixed").starts) == pytest.approx([10.5] * 3, abs=0.01)


def erlang_c(servers: int, load: float) -> float:
    """Return the probability to wait in M/M/c."""
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


def test_waiting_for_instances_that_are_always_there_is_erlangs() -> None:
    """M/M/c with c = 3: an exponential service is one whose prefill takes no time and whose tokens are geometric."""
    rate, service, servers = 2.0, 1.0, 3
    device = DEVICE | {"prefill_tokens_per_second": 1e12, "decode_tokens_per_second": 1.0}
    given = scenario(
        devices={"gpu": device}, node={"count": 1, "memory": "3GB", "dram": "3GB"}, invocations=40_000,
        function={"min_instances": servers, "max_instances": servers, "tokens_out": 1, "queue_size": 1_000_000},
        arrivals={"kind": "poisson", "rate": rate},
    )  # fmt: skip
    simulation = Simulation(
        given,
        plugins.allocation_policy("startup-time"),
        plugins.keep_alive_policy("fixed"),
        outcome := Outcome("", ""),
        3,
    )
    durations = np.random.default_rng(5).exponential(service, 40_000).tolist()
    serve = simulation.serve

    def serve_exponentially(assignment: Assignment) -> None:
        call = simulation.world.calls[assignment.invocation]
        call.tokens_out = durations[int(assignment.invocation) - 1]
        serve(assignment)

    simulation.serve = serve_exponentially  # type: ignore[method-assign]
    simulation.run()
    waits = np.asarray(outcome.ttft)[2000:]
    expected = erlang_c(servers, rate * service) * service / (servers - rate * service)
    batches = waits[: len(waits) // 38 * 38].reshape(38, -1).mean(axis=1)  # long enough to be independent
    assert abs(waits.mean() - expected) <= 3 * batches.std(ddof=1) / math.sqrt(len(batches))


@pytest.mark.parametrize("kept", [2.0, 5.0, 15.0])
def test_fixed_keep_alive_under_poisson_costs_what_the_exponential_says(kept: float) -> None:
    """An idle gap is exponential: P(longer than T) = e^(-λT) calls are cold, and E[min(gap, T)] is idled each time."""
    rate, count = 0.2, 8_000
    device = DEVICE | {"prefill_tokens_per_second": 1e9, "decode_tokens_per_second": 1e9}
    device["init_seconds"] = {"dram": 1e-6, "disk": 1e-6, "remote": 1e-6}
    node = {"count": 1, "bandwidths": dict.fromkeys(("dram", "disk", "remote"), 10**18)}
    given = scenario(
        devices={"gpu": device}, node=node, invocations=count, function={"keep_alive": kept, "concurrency": 64},
        arrivals={"kind": "poisson", "rate": rate}, stop=0.0, round=0.001,
    )  # fmt: skip
    outcome = simulate(given, "startup-time", "fixed")
    cold = math.exp(-rate * kept)
    error = math.sqrt(cold * (1 - cold) / count)
    assert abs(len(outcome.startup) / count - cold) <= 3 * error + 1e-4
    assert outcome.phases[Phase.IDLE] == pytest.approx(count * (1 - cold) / rate, rel=0.03)


def test_what_ran_on_a_node_that_fails_is_run_again() -> None:
    failures = [{"at": "60s", "node": "node-0", "back_after": "60s"}, {"at": "200s", "node": "node-1"}]
    simulation = Watched(scenario(**(BUSY | {"failures": failures})), "startup-time")
    simulation.run()
    assert simulation.outcome.ended == Counter({"succeeded": 600})
    assert simulation.outcome.requeued > 0
    assert {instance.node.id for instance in simulation.world.instances.values()} <= {"node-0"}


def test_running_calls_move_to_make_room_and_end_once() -> None:
    function = {"max_instances": 4, "checkpoint": "20GB", "tokens_out": 50}
    arrivals = {"kind": "gamma", "rate": 0.1, "cv": 3.0}
    node = {"dram": "60GB", "disk": "200GB"}
    given = scenario(**(BUSY | {"function": function, "arrivals": arrivals, "node": node, "placed_on_disks": "all"}))
    simulation = Watched(given, "serverless-llm")
    simulation.run()
    assert simulation.outcome.moved > 0
    assert simulation.outcome.ended == Counter({"succeeded": 600})


def test_who_waits_beyond_the_limit_is_given_up_and_a_full_queue_refuses() -> None:
    burst = {"kind": "poisson", "rate": 100.0}
    given = scenario(invocations=100, arrivals=burst, function={"start_limit": "20s", "queue_size": 50})
    outcome = simulate(given, "startup-time", "fixed")
    assert outcome.ended["refused"] == 50
    assert outcome.ended["timed_out"] > 0
    assert sum(outcome.ended.values()) == 100
    assert max(outcome.startup) <= 20.0


def test_a_function_that_fits_nowhere_fails_at_once() -> None:
    outcome = simulate(scenario(invocations=5, function={"memory": "3GB"}), "startup-time", "fixed")
    assert outcome.ended == Counter({"failed": 5})


def test_a_prewarmed_instance_is_there_before_the_call() -> None:
    given = scenario(invocations=100, arrivals={"kind": "gamma", "rate": 0.01, "cv": 0.01})
    fixed, prewarmed = (simulate(given, "startup-time", name) for name in ("fixed", "histogram"))
    assert len(prewarmed.startup) < len(fixed.startup) / 2
    assert prewarmed.phases[Phase.IDLE] < 100 * 97


def test_an_unknown_policy_is_named_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match="startup-time"):
        simulate(scenario(), "startup", "fixed")


@pytest.mark.parametrize("interval", [0.05, 0.1, 0.3, 1.0])
def test_the_next_round_is_never_now_whatever_rounding_does(interval: float) -> None:
    now = 0.0
    for _ in range(20_000):
        following = next_round(now, interval)
        assert now < following < now + 1.5 * interval
        now = following
