"""What nodes do when they are told to: start instances, stop them, take over what runs elsewhere; and how they fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from quickthaw_platform.contracts import Move, Start
from quickthaw_platform.invocations.records import Assignment, Lost
from quickthaw_platform.router.view import count_serving
from quickthaw_platform.simulator.outcome import Phase
from quickthaw_platform.simulator.scenario import Failure
from quickthaw_platform.simulator.world import Call, Instance, World, learn_start, takes_init


class Service(Protocol):
    """What the fleet needs of who serves the calls (engine.Simulation)."""

    def serve(self, assignment: Assignment) -> None:
        """Let an instance work on what was leased to it."""

    def resume(self, assignment: Assignment, call: Call) -> None:
        """Let an instance go on with what it has taken over."""

    def idle(self, instance: Instance) -> None:
        """Take note of an instance that has nothing to do."""

    def lost(self, identity: str) -> None:
        """End a call that was tried too often."""

    def something_waits(self) -> None:
        """See to it that the controller's rounds go on."""


@dataclass(slots=True, eq=False)
class Fleet:
    """Implements `allocator.NodeOrders`."""

    world: World
    service: Service
    room_at: float = 0.0  # when those that were told to stop for the next start have gone

    def start(self, node: str, instance: str, version_id: str) -> None:
        """Bring an instance that the allocator has reserved to life."""
        self._start(node, self.world.cluster.number(instance), version_id)

    def _start(self, node_id: str, instance: str, version_id: str, taking: tuple[str, ...] = ()) -> None:
        world = self.world
        now, node, function = world.events.now, world.nodes[node_id], world.functions[version_id]
        record = world.cluster.instances[instance]
        predicted = record.ready_at - now
        load = node.begin_load(function.checkpoint, function.size, now, world.factor())
        made = Instance(instance, function, node, now, predicted, load, since=now, taking=taking, room_at=self.room_at)
        self.room_at = 0.0
        world.instances[instance] = made
        node.users[function.checkpoint] += 1
        if load.reads:
            world.publish(node)
        if not node.dead:
            world.events.at(load.end, self._loaded, made)

    def _loaded(self, instance: Instance) -> None:
        node, function = instance.node, instance.function
        if node.dead:
            return
        if node.arrived(function.checkpoint, function.size, instance.load):
            self.world.publish(node)
        if not instance.gone:
            begin = max(self.world.events.now, instance.room_at)
            self.world.events.at(begin + takes_init(self.world, node, instance.load.way), self._started, instance)

    def _started(self, instance: Instance) -> None:
        if instance.gone or instance.node.dead:
            return
        world = self.world
        learn_start(world, instance)
        self._make_template(instance)
        world.turn(instance, Phase.IDLE)
        if not world.cluster.loaded(instance.id):
            self.leave(instance)
        elif instance.taking:
            self._take_over(instance)
        else:
            self._fill(instance, ready=False)

    def _make_template(self, instance: Instance) -> None:
        node, checkpoint = instance.node, instance.function.checkpoint
        if checkpoint in node.dram.cached and checkpoint not in node.started:
            node.started.add(checkpoint)
            self.world.publish(node)

    def _fill(self, instance: Instance, *, ready: bool) -> None:
        """Have it take what waits; it is ready for newcomers when its first output has proved it."""
        world = self.world
        for assignment in world.cluster.claim(instance.id):
            self.service.serve(assignment)
        if not ready and instance.leases:
            first = min(world.calls[name].first for name in world.cluster.instances[instance.id].leases)
            world.events.at(first, self._ready, instance)
        elif not ready:
            self._ready(instance)
        elif not instance.leases:
            self.service.idle(instance)

    def _ready(self, instance: Instance) -> None:
        if not instance.gone and not instance.node.dead and self.world.cluster.ready(instance.id):
            self._fill(instance, ready=True)

    def stop(self, node: str, instance: str) -> None:  # noqa: ARG002 - an instance knows its node
        """Have an instance leave when what runs on it has ended."""
        found = self.world.instances[instance]
        found.stopping = True
        if not found.leases and found.phase is not Phase.STARTING:
            self.leave(found)
            self.room_at = self.world.events.now + self.world.scenario.stop

    def leave(self, instance: Instance) -> None:
        """Stop an instance that has nothing to do."""
        if not instance.node.dead:
            self.world.events.at(self.world.events.now + self.world.scenario.stop, self._remove, instance)

    def _remove(self, instance: Instance) -> None:
        if instance.gone:
            return
        self._forget(instance)
        self.world.cluster.remove(instance.id)

    def _forget(self, instance: Instance) -> None:
        self.world.turn(instance, instance.phase)
        instance.gone = True
        instance.node.forget_user(instance.function.checkpoint)
        del self.world.instances[instance.id]

    def move(self, moves: Sequence[Move]) -> None:
        """Start an instance where running invocations are to go on; they run where they are until it serves."""
        world = self.world
        source = world.instances.get(moves[0].instance)
        if source is None or source.node.dead:
            return
        version = source.function.version
        instance = f"{source.id}-to"
        serving = count_serving(world.cluster.view(), version.id)
        sizes = source.function.memory, source.function.size
        if not world.cluster.reserve(version, Start(moves[0].to_node), instance, *sizes, serving):
            world.outcome.not_moved += len(moves)
            return
        taking = tuple(move.invocation for move in moves)
        self._start(moves[0].to_node, world.cluster.number(instance), version.id, taking)

    def _take_over(self, instance: Instance) -> None:
        """Let tokens travel: as long as the longest takes."""
        world = self.world
        calls = [world.calls[name] for name in instance.taking if name in world.calls]
        cost = world.cluster.view().migration
        seconds = 0.0 if cost is None else max((cost.of(self._tokens(call)) for call in calls), default=0.0)
        world.events.at(world.events.now + seconds, self._hand_over, instance)

    def _tokens(self, call: Call) -> int:
        written = (self.world.events.now - call.first) / max(1e-9, call.ends - call.first)
        return call.tokens_in + int(call.tokens_out * min(1.0, max(0.0, written)))

    def _hand_over(self, instance: Instance) -> None:
        """Change the owner of what still runs, by way of the place in the queue that it once had."""
        world = self.world
        if instance.gone or instance.node.dead:
            return
        for name in instance.taking:
            call = world.calls.get(name)
            source = None if call is None else call.instance
            if call is None or source is None or source.node.dead:
                continue
            if world.cluster.lose(name, call.epoch) is Lost.REQUEUED:
                self._let_go(source)
        for assignment in world.cluster.claim(instance.id):
            if assignment.invocation in instance.taking:
                world.outcome.moved += 1
                self.service.resume(assignment, world.calls[assignment.invocation])
            else:
                self.service.serve(assignment)
        self._ready(instance)

    def _let_go(self, source: Instance) -> None:
        source.leases -= 1
        if not source.leases:
            self.world.turn(source, Phase.IDLE)
            self.leave(source)

    def fail(self, failure: Failure, then: Callable[[], None]) -> None:
        """Have a node fall silent; after `heartbeat_ttl` it is given up, and `then` called."""
        world = self.world
        node = world.nodes[failure.node]
        if node.dead:
            return
        node.dead = True
        noticed = world.events.now + world.scenario.heartbeat_ttl
        world.events.at(noticed, self._give_up, node.id, then)
        if failure.back_after is not None:
            world.events.at(max(noticed, world.events.now + failure.back_after), self._come_back, node.id)

    def _give_up(self, node: str, then: Callable[[], None]) -> None:
        world = self.world
        for instance in [found for found in world.instances.values() if found.node.id == node]:
            self._forget(instance)
        for lease in world.cluster.leave(node):
            settled = world.cluster.lose(lease.invocation, lease.epoch)
            if settled is Lost.REQUEUED:
                world.outcome.requeued += 1
                world.calls[lease.invocation].instance = None
                self.service.something_waits()
            elif settled is Lost.FAILED:
                self.service.lost(lease.invocation)
        then()

    def _come_back(self, node: str) -> None:
        self.world.nodes[node] = self.world.nodes[node].restarted()
        self.world.cluster.join(self.world.nodes[node].view())
