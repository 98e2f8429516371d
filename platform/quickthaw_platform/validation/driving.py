"""Scores a plan's windows, several at a time: each answer is in the journal before the next window is sent."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from quickthaw.errors import Unreachable
from quickthaw_platform.errors import ContextLengthExceeded, QueueFull, QuickthawError, RateLimited, Unavailable
from quickthaw_platform.validation.asking import Asker, Position
from quickthaw_platform.validation.journal import Journal
from quickthaw_platform.validation.planning import Plan
from quickthaw_platform.validation.protocols import Window
from quickthaw_platform.validation.scores import WindowScore

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 15.0
ATTEMPTS = 12
"""With waits that double, some two minutes in which a server may restart."""

PROBE_TOKENS = 4

T = TypeVar("T")

Observer = Callable[[int, Window, Sequence[Position]], None]
"""Hears a window's number, the window, and the positions that it scored."""


@dataclass(frozen=True, slots=True)
class Driver:
    """How a plan is scored. `parallel` windows are under way at once; `sleep` waits between attempts."""

    asker: Asker
    parallel: int = 8
    progress: Callable[[int, int], None] | None = None  # hears what is done: windows, tokens read
    observer: Observer | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def check(self, plan: Plan) -> None:
        """Raise NotServable, before anything is scored, where the server does not return log-probabilities.

        And Unreachable where no server answers: an address may be wrong, which waiting does not mend.
        """
        await self._patiently(lambda: self.asker.check(plan.windows[0].tokens[:PROBE_TOKENS]), at_once=(Unreachable,))

    async def run(self, plan: Plan, journal: Journal) -> float:
        """Score what the journal lacks; return the seconds that all runs took. The longest window goes first.

        So a window that the context has no room for is known at once. Raises the first error that trying again does
        not mend; what was scored by then is in the journal.
        """
        began, before = self.clock(), journal.seconds
        left = [number for number in range(len(plan.windows)) if number not in journal.scores]
        left.sort(key=lambda number: (-len(plan.windows[number].tokens), number))
        queue = iter([*left[:1], *sorted(left[1:])])
        self._tell(plan, journal)

        async def work() -> None:
            for number in queue:
                score = await self._score(plan, number)
                journal.add(score, before + self.clock() - began)
                self._tell(plan, journal)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.parallel, len(left))):
                    group.create_task(work())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return before + self.clock() - began

    def _tell(self, plan: Plan, journal: Journal) -> None:
        if self.progress is not None:
            self.progress(len(journal.scores), sum(len(plan.windows[number].tokens) for number in journal.scores))

    async def _score(self, plan: Plan, number: int) -> WindowScore:
        window = plan.windows[number]
        try:
            found = await self._patiently(lambda: self.asker.ask(window.tokens))
        except ContextLengthExceeded as error:
            raise ContextLengthExceeded(f"{error.message} Or choose a smaller --window.", param="window") from error
        scored = found[window.first - 1 :]
        if self.observer is not None:
            self.observer(number, window, scored)
        return WindowScore(number, -math.fsum(position.logprob for position in scored), len(scored))

    async def _patiently(self, ask: Callable[[], Awaitable[T]], at_once: tuple[type[QuickthawError], ...] = ()) -> T:
        """Ask again while the platform is at fault: a worker that died, a gateway that restarts, a full queue.

        Errors that are to be told `at_once` are raised.
        """
        wait = FIRST_WAIT_SECONDS
        for _ in range(ATTEMPTS - 1):
            try:
                return await ask()
            except at_once:
                raise
            except (Unavailable, QueueFull, RateLimited) as error:
                await self.sleep(_wait_of(error, wait))
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        return await ask()


def _wait_of(error: QuickthawError, usual: float) -> float:
    return usual if error.retry_after_seconds is None else min(error.retry_after_seconds, LONGEST_WAIT_SECONDS)
