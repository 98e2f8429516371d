"""What the node's instances run, and what they may take over. One thread, the loop's, owns it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

from quickthaw.errors import HandlerFailed, NodeLost, QuickthawError, from_json
from quickthaw.types import InvocationState
from quickthaw_platform.invocations.records import History
from quickthaw_platform.metering import metrics
from quickthaw_platform.metering.tracing import Tracer
from quickthaw_platform.worker.flight import Flight, Work, invoke_frame, recorded
from quickthaw_platform.worker.frames import Frame
from quickthaw_platform.worker.instance_life import Arriving, Instance, Phase
from quickthaw_platform.worker.journal import End
from quickthaw_platform.worker.learning import Learning
from quickthaw_platform.worker.loop import Loop
from quickthaw_platform.worker.writer import Writer

_ENDS = ("done", "error", "ended")
OUTPUTS = frozenset({"chunk", "record", "held", *_ENDS})
"""The kinds of frames that `Serving.take_output` takes."""

_WORKS = frozenset({"chunk", "record", "done"})
"""What only an instance says that serves."""

MOST_TIMEOUTS = 3
"""An instance in which so many calls run out of time, and that puts nothing out meanwhile, may do so for ever."""

HEARING_SECONDS = 10.0
"""An instance that has not heard by then that a run is to end hears nothing: code of it lets no other thread run."""


class Serving:
    """For the loop's thread only."""

    def __init__(
        self,
        loop: Loop,
        writer: Writer,
        instances: Mapping[str, Instance],
        *,
        learning: Learning,
        tracer: Tracer,
        on_free: Callable[[Instance], None],
        on_useless: Callable[[Instance, str], None],
        on_stuck: Callable[[Instance], None],
    ) -> None:
        """`instances` are the fleet's. `on_free` hears of an instance that has let go of an invocation, `on_useless` of
        one that should get no more of them, and why, `on_stuck` of one whose process hears nothing.
        """
        self._loop = loop
        self._writer = writer
        self._instances = instances
        self._learning = learning
        self._tracer = tracer
        self._on_free = on_free
        self._on_useless = on_useless
        self._on_stuck = on_stuck
        self._lives = itertools.count(1)

    def invoke(self, work: Work) -> bool:
        """Hand work to its instance; False when that is not (or no longer) here.

        Work that is there is left alone; what runs there for an earlier epoch is given up, as Redis has done.
        """
        instance = self._instances.get(work.instance)
        if instance is None or instance.phase in (Phase.STARTING, Phase.STOPPING):
            return False
        flight = instance.flights.get(work.invocation)
        if flight is not None and flight.work.epoch < work.epoch:
            flight.leave(has_ended=False)
            self._hush(instance, work.invocation)
            _count(instance, flight)
            flight = None
        if flight is None:
            self._fly(instance, work)
            instance.send(invoke_frame(work, self._new_life(instance, work)))
        return True

    def heard(self, instance: Instance, frame: Frame) -> None:
        """Take an instance's word that it has been told to stop working on something."""
        instance.unheard.discard(frame["life"])

    def take_output(self, instance: Instance, frame: Frame) -> None:
        """Take what an instance says of an invocation: its output, its end, that it is caught up."""
        kind, invocation = frame["t"], frame["invocation"]
        if kind in _ENDS:
            instance.deaf.discard(frame["life"])
        if instance.lives.get(invocation) != frame["life"]:
            return
        if kind in _WORKS:
            instance.timeouts = 0
        flight = instance.flights.get(invocation)
        match kind:
            case "chunk" if flight is not None:
                if flight.is_silent:
                    instance.meter.gave(invocation)
                flight.chunk(frame)
            case "record" if flight is not None:
                if flight.is_silent:
                    instance.meter.gave(invocation)
                flight.record(frame)
            case "held" if invocation in instance.arriving:
                instance.arriving[invocation].held()
            case "done" | "error" | "ended":
                del instance.lives[invocation]
                failed = from_json(frame["error"]) if kind == "error" else None
                if flight is not None:
                    self._end(instance, flight, frame, failed)
                elif invocation in instance.arriving:
                    instance.meter.left(invocation)
                    instance.arriving.pop(invocation).lost(failed or HandlerFailed("it ended by itself"))

    def hold(self, work: Work, arriving: Arriving) -> bool:
        """Run an invocation that another node still runs, as far as its history goes; `arriving` hears how it goes.

        False: the instance does not serve (yet), or serves the invocation itself.
        """
        instance = self._instances.get(work.instance)
        if instance is None or instance.phase not in (Phase.LOADED, Phase.READY):
            return False
        if work.invocation in instance.flights:
            return False
        instance.arriving[work.invocation] = arriving
        instance.meter.came(work.invocation, work.key)
        instance.send(invoke_frame(work, self._new_life(instance, work), is_open=True))
        return True

    def extend(self, instance_id: str, invocation: str, since: History) -> None:
        """Add to the history of an invocation that is held."""
        instance = self._instances.get(instance_id)
        if instance is not None and invocation in instance.lives:
            instance.send({"t": "extend", "life": instance.lives[invocation], **recorded(since)})

    def take(self, work: Work, since: History) -> bool:
        """Serve an invocation that was held, `since` being the last of its history; False: the instance is gone."""
        instance = self._instances.get(work.instance)
        if instance is None or instance.arriving.pop(work.invocation, None) is None:
            return False
        self._fly(instance, work)
        instance.send({"t": "extend", "life": instance.lives[work.invocation], **recorded(since), "last": True})
        return True

    def drop(self, instance_id: str, invocation: str) -> None:
        """Stop an invocation that is held; an unknown one is ignored."""
        instance = self._instances.get(instance_id)
        if instance is not None and instance.arriving.pop(invocation, None) is not None:
            instance.meter.left(invocation)
            self._hush(instance, invocation)

    def cancel(self, invocation: str, before_epoch: int | None = None) -> None:
        """Stop an invocation that has ended in Redis, or has another owner there since `before_epoch`.

        One that came back meanwhile has that epoch or a later one, and goes on; an unknown one is ignored.
        """
        for instance in self._instances.values():
            flight = instance.flights.get(invocation)
            if flight is not None and (before_epoch is None or flight.work.epoch < before_epoch):
                flight.leave(has_ended=before_epoch is None)
                self._silence(instance, flight)
                return

    def turn_away(self, instance: Instance, error: QuickthawError) -> None:
        """Tell whoever would take an invocation over to the instance that it cannot."""
        arriving, instance.arriving = instance.arriving, {}
        for invocation, each in arriving.items():
            instance.meter.left(invocation)
            each.lost(error)

    def lose(self, instance: Instance, error: QuickthawError) -> None:
        """Settle all that ran on an instance whose process is gone."""
        self.turn_away(instance, error)
        for flight in instance.flights.values():
            flight.end(End(InvocationState.FAILED, error=error, lost=True))
            _count(instance, flight)

    def abandon(self, instance: Instance, reason: str) -> None:
        """Give up every invocation that still runs there, as the node is going down."""
        for flight in list(instance.flights.values()):
            flight.end(End(InvocationState.FAILED, error=NodeLost(reason), lost=True))
            self._release(instance, flight)

    def _new_life(self, instance: Instance, work: Work) -> int:
        life = instance.lives[work.invocation] = next(self._lives)
        return life

    def _fly(self, instance: Instance, work: Work) -> None:
        if work.again:
            metrics.resumes_total.labels(work.function).inc()
        instance.meter.came(work.invocation, work.key)
        instance.flights[work.invocation] = Flight(
            self._loop,
            self._writer,
            work,
            most_prompt_tokens=instance.order.most_prompt_tokens,
            most_bytes=instance.order.most_bytes,
            tracer=self._tracer,
            on_timeout=lambda flight, error: self._timed_out(instance, flight, error),
        )

    def _end(self, instance: Instance, flight: Flight, frame: Frame, failed: QuickthawError | None) -> None:
        start = instance.start_of(flight.work)
        if frame["t"] == "done":
            self._learning.served(flight.work.function, flight.held_seconds)
            flight.done(frame, start)
        else:
            flight.failed(failed or HandlerFailed("the handler ended without a result"), start)
        self._release(instance, flight)

    def _timed_out(self, instance: Instance, flight: Flight, error: QuickthawError) -> None:
        start = instance.start_of(flight.work)
        flight.end(End(InvocationState.TIMED_OUT, error=error, start=start))
        self._silence(instance, flight)
        if flight.work.limits != instance.order.instance.version.spec.limits:
            return  # a caller that allows less time than the function does is no judge of the instance
        instance.timeouts += 1
        if instance.timeouts == MOST_TIMEOUTS:
            self._on_useless(instance, f"the limits of {MOST_TIMEOUTS} calls ran out, and nothing came out in between")

    def _silence(self, instance: Instance, flight: Flight) -> None:
        """Tell the instance to stop working on it. A handler thread that does not listen keeps only itself busy."""
        self._hush(instance, flight.work.invocation)
        self._release(instance, flight)
        if len(instance.deaf) > instance.order.instance.version.spec.concurrency:
            self._on_useless(instance, "too many handlers do not end when they are told")

    def _hush(self, instance: Instance, invocation: str) -> None:
        """Tell the instance to stop working on it, and hear nothing more of this run."""
        life = instance.lives.pop(invocation, None)
        if life is not None:
            instance.deaf.add(life)
            instance.unheard.add(life)
            instance.send({"t": "cancel", "life": life})
            self._loop.later(HEARING_SECONDS, lambda: self._check_heard(instance, life))

    def _check_heard(self, instance: Instance, life: int) -> None:
        if life in instance.unheard and self._instances.get(instance.id) is instance:
            self._on_stuck(instance)

    def _release(self, instance: Instance, flight: Flight) -> None:
        instance.flights.pop(flight.work.invocation, None)
        _count(instance, flight)
        self._on_free(instance)


def _count(instance: Instance, flight: Flight) -> None:
    work = flight.work
    instance.meter.served(work.invocation, work.epoch, work.key, flight.tokens)
