"""One simulation: calls arrive, are admitted, allocated, served and finished by production's store and policies."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from quickthaw.types import InvocationState
from quickthaw_platform import plugins
from quickthaw_platform.contracts import AllocationPolicy, KeepAlivePolicy, Start, Wait
from quickthaw_platform.errors import QueueFull
from quickthaw_platform.invocations.records import Assignment
from quickthaw_platform.router.allocator import Allocator
from quickthaw_platform.simulator.arrivals import calls
from quickthaw_platform.simulator.events import Events
from quickthaw_platform.simulator.fleet import Fleet
from quickthaw_platform.simulator.functions import Function
from quickthaw_platform.simulator.keeping import Keeping
from quickthaw_platform.simulator.outcome import Outcome, Phase
from quickthaw_platform.simulator.scenario import Scenario
from quickthaw_platform.simulator.world import Call, Instance, make_world

PATIENCE_SECONDS = 86_400.0
"""Calls that still wait so long after the last one came are given up."""

Progress = Callable[[int], None]
"""Told how many calls have come since it was told last."""


def simulate(
    scenario: Scenario, policy: str, keep_alive: str, seed: int | None = None, progress: Progress = lambda _: None,
    *, chance: int | None = None,
) -> Outcome:  # fmt: skip
    """Run a scenario under two policies, by name; errors.NotFound lists those that are known.

    `chance` is a seed for `jitter` alone: the same calls under other luck. None: as `seed`.
    """
    chosen = plugins.allocation_policy(policy), plugins.keep_alive_policy(keep_alive)
    outcome = Outcome(policy, keep_alive)
    began = time.perf_counter()
    simulation = Simulation(scenario, *chosen, outcome, scenario.seed if seed is None else seed)
    if chance is not None:
        simulation.world.rng.seed(chance)
    simulation.run(progress)
    outcome.wall_seconds = time.perf_counter() - began
    return outcome


def next_round(now: float, interval: float) -> float:
    """Return the first multiple of the interval after now; rounding may make what should be it the present again."""
    number = math.floor(now / interval) + 1
    return number * interval if number * interval > now else (number + 1) * interval


class Simulation:
    """Implements `fleet.Service`."""

    def __init__(
        self, scenario: Scenario, policy: AllocationPolicy, keep_alive: KeepAlivePolicy, outcome: Outcome, seed: int
    ) -> None:
        self._seed = seed
        self._events = Events()
        self.world = make_world(scenario, seed, outcome, self._events, self.lost)
        self._cluster = self.world.cluster
        self._outcome = outcome
        self._fleet = Fleet(self.world, self)
        sizes = {function.checkpoint: function.size for function in self.world.functions.values()}
        self._allocator = Allocator(
            self._cluster,
            policy,
            self._fleet,
            instance_memory=0,
            checkpoint_bytes=sizes.__getitem__,
            move=lambda _: None,  # policies may move; all moves of a decision begin together, in _allocate
        )
        self._keeping = Keeping(self.world, keep_alive, self._fleet.stop, self._start_ahead)
        self._round_is_due = False

    def run(self, progress: Progress = lambda _: None) -> None:
        """Let all calls come and end."""
        events, scenario = self._events, self.world.scenario
        functions = list(self.world.functions.values())
        self._keep_minimum()
        for failure in scenario.failures:
            events.at(failure.at, self._fleet.fail, failure, self._keep_minimum)
        number = 0
        for chunk in calls(scenario, self._seed):
            columns = (chunk.times, chunk.functions, chunk.tokens_in, chunk.tokens_out)
            for at, function, tokens_in, tokens_out in zip(*(column.tolist() for column in columns), strict=True):
                events.run_until(at)
                number += 1
                self._arrive(str(number), Call(functions[function], at, tokens_in, tokens_out))
            progress(len(chunk))
        self._drain()

    def _drain(self) -> None:
        end = self._events.now + PATIENCE_SECONDS
        while self.world.calls and self._events.step(end):
            pass
        for identity in list(self.world.calls):
            self._cluster.cancel(identity, InvocationState.TIMED_OUT)
            self._close(identity, InvocationState.TIMED_OUT)
        for instance in self.world.instances.values():
            self.world.turn(instance, instance.phase)
        self._outcome.seconds = self._events.now

    def _arrive(self, identity: str, call: Call) -> None:
        function, world = call.function, self.world
        try:
            admission = self._cluster.admit(identity, function.version)
        except QueueFull:
            self._outcome.ended["refused"] += 1
            return
        function.called(self._events.now)
        world.calls[identity] = call
        if admission.assignment is not None:
            self.serve(admission.assignment)
            return
        call.queued = True
        if function.start_limit is not None:
            self._events.at(call.arrived + function.start_limit, self._give_up, identity)
        self._allocate(function)
        self.something_waits()

    def serve(self, assignment: Assignment) -> None:
        """Let an instance work on a call: prefill, then decode."""
        world, identity = self.world, assignment.invocation
        call = world.calls[identity]
        instance = world.instances[assignment.instance]
        call.epoch, call.instance = assignment.epoch, instance
        self._lease(instance)
        if instance.node.dead:
            return
        now, device = self._events.now, instance.node.device
        self._cluster.begin(identity, assignment.epoch, assignment.node, assignment.instance)
        self._cluster.calls[identity].tokens = call.tokens_in
        slowdown = 1 + device.slowdown_per_stream * (instance.leases - 1)
        call.began = now
        begins = max(now, instance.prompts_until) if device.prompts_in_turn else now
        call.first = instance.prompts_until = begins + call.tokens_in / device.prefill_tokens_per_second
        call.ends = call.first + call.tokens_out / device.decode_tokens_per_second * slowdown
        self._events.at(call.ends, self._finish, identity, call.epoch)

    def resume(self, assignment: Assignment, call: Call) -> None:
        """Let an instance go on with a call, after the gap that its caller sees."""
        instance = self.world.instances[assignment.instance]
        call.epoch, call.instance = assignment.epoch, instance
        self._lease(instance)
        self._cluster.begin(assignment.invocation, assignment.epoch, assignment.node, assignment.instance)
        migration = self.world.scenario.migration
        gap = 0.0 if migration is None else migration.gap
        call.ends += gap
        call.first += gap if call.first > self._events.now else 0.0
        self._events.at(call.ends, self._finish, assignment.invocation, call.epoch)

    def _lease(self, instance: Instance) -> None:
        if not instance.leases:
            self.world.turn(instance, Phase.SERVING)
        instance.leases += 1

    def _finish(self, identity: str, epoch: int) -> None:
        call = self.world.calls.get(identity)
        if call is None or call.epoch != epoch or call.instance is None or call.instance.node.dead:
            return
        finished = self._cluster.finish(identity, epoch, InvocationState.SUCCEEDED)
        if not finished.done:
            return
        instance = call.instance
        call.function.learn_service(self._events.now - call.began)
        self._outcome.ttft.append(call.first - call.arrived)
        self._outcome.held.append(self._events.now - call.began)
        if call.queued:
            self._outcome.startup.append(call.began - call.arrived)
        self._close(identity, InvocationState.SUCCEEDED)
        instance.leases -= 1
        if finished.next is not None:
            self.serve(finished.next)
        elif not instance.leases:
            self.world.turn(instance, Phase.IDLE)
            self.idle(instance)

    def idle(self, instance: Instance) -> None:
        """Take note of an instance that has nothing to do."""
        if instance.stopping:
            self._fleet.leave(instance)
        else:
            self._keeping.watch(instance)

    def lost(self, identity: str) -> None:
        """End a call that cannot be served."""
        self._close(identity, InvocationState.FAILED)

    def _close(self, identity: str, state: InvocationState) -> None:
        call = self.world.calls.pop(identity)
        call.function.ended(self._events.now)
        self._outcome.ended[state.value] += 1

    def _give_up(self, identity: str) -> None:
        """End a call that has waited as long as its limit allows."""
        call = self.world.calls.get(identity)
        if call is not None and call.instance is None:
            self._cluster.cancel(identity, InvocationState.TIMED_OUT)
            self._close(identity, InvocationState.TIMED_OUT)

    def _allocate(self, function: Function) -> bool:
        """Start an instance if the policy finds it right; whether it did."""
        self._fleet.room_at = 0.0
        decision = self._allocator.allocate(function.version)
        if isinstance(decision, Wait) and decision.moves:
            self._fleet.move(decision.moves)
        return isinstance(decision, Start)

    def _start_ahead(self, function: Function) -> None:
        self._fleet.room_at = 0.0
        self._allocator.allocate(function.version, ahead=True)

    def _keep_minimum(self) -> None:
        """Start what is missing of the instances that functions always want."""
        for function in self.world.functions.values():
            there = len(self._cluster.versions[function.version.id]) if function.min_instances else 0
            for _ in range(function.min_instances - there):
                self._start_ahead(function)

    def something_waits(self) -> None:
        """See to it that the controller's rounds go on."""
        if not self._round_is_due:
            self._round_is_due = True
            self._events.at(next_round(self._events.now, self.world.scenario.round), self._round)

    def _round(self) -> None:
        """Do what `controller.queues` does."""
        self._round_is_due = False
        waiting = self._cluster.waiting()
        for version in waiting:
            function = self.world.functions[version]
            for instance in list(self._cluster.versions[version].values()):
                for assignment in self._cluster.claim(instance.id):
                    self.serve(assignment)
            for _ in range(function.version.spec.max_instances):
                if not len(self._cluster.queues[version]) or not self._allocate(function):
                    break
        if any(len(self._cluster.queues[version]) for version in waiting):
            self.something_waits()
