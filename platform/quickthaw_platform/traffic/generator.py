"""The open loop: sends each request at its intended time, whatever became of those before it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import numpy as np

from quickthaw_platform.traffic.bodies import Bodies
from quickthaw_platform.traffic.exchange import Exchange, open_client
from quickthaw_platform.traffic.lookup import looked_up
from quickthaw_platform.traffic.planning import LoadPlan
from quickthaw_platform.traffic.priority import served_first
from quickthaw_platform.traffic.result import RequestResult
from quickthaw_platform.traffic.target import Target
from quickthaw_platform.traffic.warming import warm_up, without_old_garbage

SPIN_SECONDS = 0.002
"""So long before a request is due nothing sleeps any more: the event loop wakes up a millisecond late."""

NAP_SECONDS = 0.25
"""No sleep is longer: on a virtual machine that had been idle for a minute a timer was seen to fire 80 ms late."""

LEAD_SECONDS = 0.05
"""Between the making of the first requests and the start of the run."""

PATIENCE_SECONDS = 5.0
PROGRESS_SECONDS = 0.1
INTERRUPTED = "interrupted: the run was stopped before the answer was complete"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. `lag` is the longest so far, in seconds."""

    planned: int
    sent: int
    running: int
    done: int
    failed: int
    seconds: float
    lag: float


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """What became of a run. A request that was never sent, because the run was interrupted, has no result.

    `invalid` says why the figures must not be used: the generator itself was late. None: they may.
    """

    results: tuple[RequestResult, ...]
    seconds: float  # from the start to the last answer, and at least as long as requests were to come
    dispatch_lag_p99: float  # seconds; 0 where nothing was sent
    invalid: str | None = None
    interrupted: bool = False
    notes: tuple[str, ...] = ()


async def run(
    plan: LoadPlan,
    target: Target,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    stop: asyncio.Event | None = None,
    patience: float = PATIENCE_SECONDS,
) -> LoadOutcome:
    """Send a plan's requests and wait for their answers. Requests that fail are results, never exceptions.

    When `stop` is set nothing more is sent; what runs gets `patience` seconds to end, and is then given up. On a
    quickthaw gateway each invocation is looked up afterwards, for what only the platform knows of it.
    """
    async with open_client(target) as http:
        loop = _OpenLoop(plan, target, http, stop or asyncio.Event(), patience)
        await warm_up(http)
        with without_old_garbage(), served_first():
            await loop.run(on_progress)
        results, notes = await looked_up(loop.results(), target, http)
    lag = lag_p99(results)
    limit = plan.slo.lag_limit
    invalid = None
    if lag > limit:
        invalid = (
            f"the generator sent its requests late: p99 of the dispatch lag is {lag * 1e3:.1f} ms, above 1 % of the "
            f"limit for the first token ({limit * 1e3:.1f} ms). Lower the rate, or give it a processor of its own"
        )
    return LoadOutcome(results, loop.seconds, lag, invalid, loop.interrupted, notes)


def lag_p99(results: tuple[RequestResult, ...]) -> float:
    """Return the 99th percentile of the dispatch lag in seconds, no value interpolated; 0 where nothing was sent."""
    lags = [result.lag for result in results]
    return float(np.quantile(lags, 0.99, method="higher")) if lags else 0.0


class _OpenLoop:
    """One run. Times are seconds of the monotonic clock since its start; the wall clock is never asked."""

    def __init__(
        self, plan: LoadPlan, target: Target, http: httpx.AsyncClient, stop: asyncio.Event, patience: float
    ) -> None:
        self._plan, self._target, self._http, self._stop, self._patience = plan, target, http, stop, patience
        self._bodies = Bodies(plan, target)
        self._begin = 0.0
        self._running: set[asyncio.Task[None]] = set()
        self._none_runs = asyncio.Event()
        self._found: list[RequestResult] = []
        self._sent = self._failed = 0
        self._lag = 0.0
        self._broken: BaseException | None = None  # a bug of ours, never what an endpoint does
        self.seconds = 0.0
        self.interrupted = False

    def results(self) -> tuple[RequestResult, ...]:
        return tuple(sorted(self._found, key=lambda result: result.number))

    async def run(self, on_progress: Callable[[Progress], None] | None) -> None:
        while self._bodies.make_one_more():
            pass
        self._begin = time.monotonic() + LEAD_SECONDS
        stopped = asyncio.create_task(self._until_stopped())
        others = [stopped] + ([asyncio.create_task(self._show(on_progress))] if on_progress else [])
        try:
            await self._send_all(stopped)
            await self._await_answers(stopped)
            self.seconds = self._now() if self.interrupted else max(self._plan.seconds, self._now())
        finally:
            left = (*others, *self._running)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        if self._broken is not None:
            raise self._broken
        if on_progress:
            on_progress(self._progress())

    async def _send_all(self, stopped: asyncio.Task[None]) -> None:
        for number, intended in enumerate(self._plan.times.tolist()):
            if not await self._due(intended, stopped):
                self.interrupted = True
                return
            body = self._bodies.take()
            task = asyncio.create_task(self._one(number, intended, body))
            self._running.add(task)
            self._none_runs.clear()
            task.add_done_callback(self._finished)
            self._sent += 1
            await asyncio.sleep(0)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not self._running:
            self._none_runs.set()
        if not task.cancelled() and task.exception() is not None:
            self._broken = task.exception()

    async def _until_stopped(self) -> None:
        await self._stop.wait()

    async def _until_none_runs(self) -> None:
        await self._none_runs.wait()

    async def _await_answers(self, stopped: asyncio.Task[None]) -> None:
        if self._running:
            last = asyncio.create_task(self._until_none_runs())
            await asyncio.wait({stopped, last}, return_when=asyncio.FIRST_COMPLETED)
            last.cancel()
        if not self._running:
            return
        self.interrupted = True
        _, late = await asyncio.wait(self._running, timeout=self._patience)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _due(self, intended: float, stopped: asyncio.Task[None]) -> bool:
        """Wait until a request is due, making bodies meanwhile; False when the run is stopped before."""
        while (left := intended - self._now()) > 0 and not stopped.done():
            if left <= SPIN_SECONDS:
                await asyncio.sleep(0)
            elif not self._bodies.make_one_more():
                await asyncio.wait({stopped}, timeout=min(left - SPIN_SECONDS, NAP_SECONDS))
            else:
                await asyncio.sleep(0)
        return not stopped.done()

    async def _one(self, number: int, intended: float, body: bytes) -> None:
        exchange = Exchange(self._now)
        try:
            async with asyncio.timeout(max(0.0, intended + self._plan.timeout - self._now())):
                await exchange.run(self._http, self._target.address, body)
        except TimeoutError:
            self._give_up(exchange, f"timed out: not complete {self._plan.timeout:g} s after it was to be sent")
        except asyncio.CancelledError:
            self._give_up(exchange, INTERRUPTED)
        self._take(number, intended, exchange)

    @staticmethod
    def _give_up(exchange: Exchange, why: str) -> None:
        if exchange.reader.ended is None and exchange.reader.error is None:
            exchange.reader.error = why

    def _take(self, number: int, intended: float, exchange: Exchange) -> None:
        reader, now = exchange.reader, self._now()
        outputs = reader.outputs
        result = RequestResult(
            number=number,
            intended=intended,
            sent=now if exchange.sent is None else exchange.sent,
            first_token=outputs[0] if outputs else None,
            gaps=tuple(later - earlier for earlier, later in itertools.pairwise(outputs)),
            end=now if reader.ended is None else reader.ended,
            tokens_in=int(self._plan.tokens_in[number]),
            tokens_out=int(self._plan.tokens_out[number]),
            prompt_tokens=reader.prompt_tokens,
            completion_tokens=reader.completion_tokens,
            error=reader.verdict(),
            invocation=exchange.invocation,
        )
        self._found.append(result)
        self._failed += result.error is not None
        self._lag = max(self._lag, result.lag)

    def _now(self) -> float:
        return time.monotonic() - self._begin

    async def _show(self, on_progress: Callable[[Progress], None]) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                on_progress(self._progress())
                await asyncio.sleep(PROGRESS_SECONDS)

    def _progress(self) -> Progress:
        done = len(self._found)
        running = self._sent - done
        return Progress(len(self._plan), self._sent, running, done, self._failed, max(0.0, self._now()), self._lag)
