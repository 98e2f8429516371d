"""Invocations on their way to this node: each a thread that carries the handover out."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import structlog

from quickthaw.errors import InstanceLost, QuickthawError, TimedOut
from quickthaw_platform.contracts import InstanceState
from quickthaw_platform.invocations.records import Accepted, History, Lease, Offer
from quickthaw_platform.invocations.slots import SlotStore
from quickthaw_platform.invocations.store import NOTHING, InvocationStore
from quickthaw_platform.metering import metrics
from quickthaw_platform.migration.handover import Handover, Result, take_over
from quickthaw_platform.worker.commands import Commands
from quickthaw_platform.worker.flight import Work
from quickthaw_platform.worker.learning import Learning
from quickthaw_platform.worker.loop import Loop
from quickthaw_platform.worker.serving import Serving
from quickthaw_platform.worker.work import Intake

ROUND_SECONDS = 120.0
"""How long the instance may take to compute one round: a long prompt on a busy processor."""

POLL_SECONDS = 0.02
ASK_SECONDS = 0.5
AT_ONCE = 32

_log = structlog.get_logger()
_T = TypeVar("_T")


class Arrivals:
    """`receive` from any thread; returns at once."""

    def __init__(
        self, loop: Loop, serving: Serving, intake: Intake, store: InvocationStore, commands: Commands,
        slots: SlotStore, learning: Learning, *, persist: Callable[[Callable[[], _T]], _T],
    ) -> None:  # fmt: skip
        """`persist` makes a change in Redis, again and again while that is out."""
        self._loop = loop
        self._serving = serving
        self._intake = intake
        self._store = store
        self._commands = commands
        self._slots = slots
        self._learning = learning
        self._persist: Callable[..., object] = persist
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="agent-arrival")
        self._known: set[tuple[str, int]] = set()  # invocations and epochs that are on their way

    def receive(self, offer: Offer) -> None:
        """Take over an invocation that was offered to an instance here; one that is on its way is left alone."""
        key = offer.invocation, offer.epoch
        if key not in self._known:
            self._known.add(key)
            self._threads.submit(self._run, offer)

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(cancel_futures=True, wait=False)

    def _run(self, offer: Offer) -> None:
        result = "failed"
        try:
            work = self._intake.read(offer)
            if work is None:
                return
            arrival = _Arrival(self._loop, self._serving, work, lambda: self._is_coming(offer.instance))
            how = take_over(self._store, offer, arrival)
            result = how.result.value
            if how.result is Result.MOVED:
                self._learning.moved(how.tokens, time.monotonic() - arrival.began)
            self._settle(offer, how)
        except QuickthawError as error:
            _log.warning("a migration failed", invocation=offer.invocation, error=error.message)
            self._give_up(offer, error)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the slot is given back
            _log.exception("a migration broke", invocation=offer.invocation)
            self._give_up(offer, InstanceLost(f"taking the invocation over broke: {error}"))
        finally:
            metrics.migrations_total.labels(result).inc()
            self._known.discard((offer.invocation, offer.epoch))

    def _is_coming(self, instance: str) -> bool:
        found = self._slots.get(instance)
        return found is not None and found.state is not InstanceState.DRAINING

    def _settle(self, offer: Offer, how: Handover) -> None:
        if how.result is not Result.MOVED or how.accepted is None:
            self._store.decline(offer, "it ended first, or the slot that was kept for it is gone")
            return
        _log.info(
            "migrated", invocation=offer.invocation, left=how.accepted.left, rounds=how.rounds, tokens=how.tokens,
            seconds=round(how.seconds, 4),
        )  # fmt: skip
        self._commands.cancel(how.accepted.left, offer.invocation, before_epoch=offer.epoch)

    def _give_up(self, offer: Offer, error: QuickthawError) -> None:
        """Decline; should it have become the owner after all, it is lost like with any other."""
        lease = Lease(offer.invocation, offer.epoch)
        self._persist(lambda: self._store.decline(offer, error.message))
        self._persist(lambda: self._store.lose(lease.invocation, lease.epoch, error.message, error))


class _Arrival:
    """Implements `handover.Destination` on an instance of this node, and `Arriving` for it."""

    def __init__(self, loop: Loop, serving: Serving, work: Work, is_coming: Callable[[], bool]) -> None:
        """`is_coming` tells whether the instance is reserved or starts: its command may still be on its way."""
        self._loop = loop
        self._serving = serving
        self._work = work
        self._is_coming = is_coming
        self.began = time.monotonic()  # when the instance served
        self._news: queue.SimpleQueue[QuickthawError | None] = queue.SimpleQueue()

    def held(self) -> None:
        """All that is recorded has been computed."""
        self._news.put(None)

    def lost(self, error: QuickthawError) -> None:
        """The instance cannot take it."""
        self._news.put(error)

    def hold(self, history: History) -> None:
        """Begin as soon as the instance serves."""
        work = replace(self._work, history=history)
        deadline = time.monotonic() + work.limits.start
        while not self._loop.ask(lambda: self._serving.hold(work, self)):
            if not self._is_coming():
                raise InstanceLost("the instance that was to take the invocation over is gone")
            if time.monotonic() > deadline:
                raise TimedOut(f"the instance did not start within {work.limits.start:g} s")
            time.sleep(POLL_SECONDS)
        self.began = time.monotonic()
        self._wait()

    def extend(self, since: History) -> None:
        """Add to the record."""
        self._loop.post(lambda: self._serving.extend(self._work.instance, self._work.invocation, since))
        self._wait()

    def take(self, accepted: Accepted, known: History) -> None:
        """Close the record, and serve it."""
        work = replace(
            self._work,
            next_seq=accepted.next_seq,
            history=known + accepted.history,
            silent_seconds=accepted.silent_seconds,
        )
        if not self._loop.ask(lambda: self._serving.take(work, accepted.history)):
            raise InstanceLost("the instance that took the invocation over is gone")

    def drop(self) -> None:
        """Stop it."""
        self._loop.post(lambda: self._serving.drop(self._work.instance, self._work.invocation))

    def _wait(self) -> None:
        """Wait until all that is recorded has been computed, asking now and then: a sleeping handler says nothing."""
        deadline = time.monotonic() + ROUND_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                failed = self._news.get(timeout=ASK_SECONDS)
                if failed is not None:
                    raise failed
                return
            self._loop.post(lambda: self._serving.extend(self._work.instance, self._work.invocation, NOTHING))
        raise TimedOut(f"the instance did not compute what is known within {ROUND_SECONDS:g} s")
