"""Runs a comparison: each side is brought up, sent the same requests, metered, and taken down again.

Everything that is measured is written after each block, so that an interrupted or killed run leaves what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from quickthaw.errors import QuickthawError
from quickthaw.resources import UsageRow
from quickthaw_platform.comparison.calibrating import calibrate
from quickthaw_platform.comparison.deploying import Stage
from quickthaw_platform.comparison.metered import STARTING_COMMAND, Slot, difference, seen_from_outside
from quickthaw_platform.comparison.recording import Block, Recording
from quickthaw_platform.comparison.sides import Side, turns
from quickthaw_platform.comparison.watching import Watcher
from quickthaw_platform.comparison.writing import Measured, write_run
from quickthaw_platform.serving import Endpoint, ServingBackend
from quickthaw_platform.traffic import generator, probing
from quickthaw_platform.traffic.generator import LoadOutcome, Progress
from quickthaw_platform.traffic.planning import LoadPlan, alone
from quickthaw_platform.traffic.result import RequestResult
from quickthaw_platform.traffic.target import IGNORE_EOS, Target

METER_SECONDS = 2.0
"""A meter that has said nothing new for so long, some heartbeats of the nodes, has told all."""

POLL_SECONDS = 0.1
CALIBRATION_QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.95) * 2
"""Sizes of the requests that are sent one by one, each twice."""


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done. `recording` says all of it that a report needs; its blocks are still to come.

    `probe`: find out first how the model counts tokens, so that prompts are as long as was asked for. `calibrate`: send
    some requests one by one then, for the simulator is to be told how fast the machine is.
    """

    sides: Sequence[Side]
    load: LoadPlan
    recording: Recording
    folder: Path
    probe: bool = True
    calibrate: bool = False


@dataclass(frozen=True, slots=True)
class Watching:
    """Whom the runner tells how it goes: in words, and request by request while a side is measured."""

    say: Callable[[str], None] = lambda _text: None
    progress: Callable[[str], AbstractContextManager[OnProgress | None]] = lambda _what: nullcontext()


class Runner:
    """One comparison. Call `run` once, from the main thread: servers that it starts die with that thread."""

    def __init__(self, plan: Plan, stage: Stage, watching: Watching | None = None) -> None:
        self._plan = plan
        self._stage = stage
        self._watching = watching or Watching()
        self._sides = {side.name: side for side in plan.sides}
        self._load = plan.load
        self._measured = Measured()
        self._alone: list[RequestResult] = []  # sent one by one, for the calibration
        self._blocks: list[Block] = []
        self._interrupted = False

    def run(self) -> Recording:
        """Measure all blocks; an interruption ends it early, and what was measured counts.

        Raises QuickthawError where nothing can be measured at all, or nothing be written any more.
        """
        asked = self._plan.recording
        order = turns(list(self._sides), asked.repeats, interleaved=asked.order == "interleaved")
        _end_in_order()
        self._stage.clean_up(self._watching.say)
        try:
            if self._plan.probe:
                self._probe()
            for number, (name, repeat) in enumerate(order, 1):
                self._watching.say(f"block {number} of {len(order)}: {name}")
                self._block(name, repeat)
                self._write()
                if self._interrupted:
                    break
        except KeyboardInterrupt:
            self._interrupted = True
        finally:
            self._stage.close(self._watching.say)
        return self._write()

    def _probe(self) -> None:
        """Find out how the model counts tokens: the first side that comes up is asked, and taken down again."""
        name = next(iter(self._sides))
        self._watching.say(f"asking {name} how many tokens a prompt has")
        target = self._target(name, self._stage.up(name))
        try:
            found = asyncio.run(probing.calibrate(target, self._load.prompts))
            self._load = replace(self._load, prompts=replace(self._load.prompts, calibration=found))
            if len(self._load):
                self._warn_of_saturation(self._send_alone(target, 0.5))
                self._send_one_by_one(name, target)
        finally:
            self._take_down(name)

    def _take_down(self, name: str) -> list[UsageRow]:
        """End a side and return what it has used: the platform's meter is waited for, which tells some of it late."""
        self._stage.down(name)
        backend = self._stage.backends[name]
        return _settled(backend) if self._sides[name].endpoint is None else backend.usage()

    def _send_alone(self, target: Target, quantile: float) -> RequestResult:
        return asyncio.run(generator.run(alone(self._load, quantile), target)).results[0]

    def _send_one_by_one(self, name: str, target: Target) -> None:
        """Send requests of many sizes, each when the one before has ended, to a side that the platform serves."""
        if not self._plan.calibrate or self._sides[name].endpoint is not None:
            return
        self._watching.say(f"calibrating on {name}")
        for number, quantile in enumerate(CALIBRATION_QUANTILES):
            found = self._send_alone(target, quantile)
            self._alone.append(replace(found, backend=name, repeat=-1 - number))

    def _warn_of_saturation(self, found: RequestResult) -> None:
        """Say it where requests like these come faster than one instance can serve them one by one."""
        seconds = found.e2e
        if found.error is None and seconds * self._load.rate > 1:
            self._watching.say(
                f"a typical request takes {seconds:.2f} s by itself, and {self._load.rate:.2f} come each second: one "
                f"instance can hardly keep up. Give --rate (below {1 / seconds:.2g}) or --tokens-scale for less traffic"
            )

    def _block(self, name: str, repeat: int) -> None:
        """Bring a side up, send it the requests and take it down.

        What it used is read before it is up and after it is down, when nothing of it runs: so nothing that the meter
        tells late is lost, or counted in the next block.
        """
        backend, began_at = self._stage.backends[name], time.time()
        before = backend.usage()
        try:
            endpoint = self._stage.up(name)
        except QuickthawError as error:
            self._watching.say(f"{name} cannot be measured: {error.message}")
            self._blocks.append(
                Block(backend=name, repeat=repeat, began_at=began_at, seconds=0.0, sent=0, error=error.message)
            )
            return
        ready = backend.usage()
        with Watcher(backend, name, repeat) as watcher, self._watching.progress(name) as on_progress:
            outcome = self._send(self._target(name, endpoint), repeat, on_progress)
        failure, done = backend.failure(), backend.usage()
        used = self._take_down(name)
        results = [replace(result, backend=name, repeat=repeat) for result in outcome.results]
        self._measured.results += results
        self._measured.timeline += watcher.lines
        block = _block_of(name, repeat, outcome, failure).model_copy(update={"began_at": began_at})
        slot = Slot(name, repeat)
        outside = self._sides[name].endpoint
        if outside is None:
            self._measured.usage += difference(slot, before, used)
        else:
            started = _seconds(ready, STARTING_COMMAND) - _seconds(before, STARTING_COMMAND)
            started = started if outside.command else 0.0  # else it was there, and answered
            memory = _memory(done) - _memory(ready)
            self._measured.usage += seen_from_outside(slot, results, outcome.seconds, started, memory)
            resident = memory / outcome.seconds if memory else None
            block = block.model_copy(update={"cold_start_seconds": started or None, "resident_bytes": resident})
        if failure is not None:
            self._watching.say(f"{name} died in mid-run: {failure}")
        self._blocks.append(block)

    def _send(self, target: Target, repeat: int, on_progress: OnProgress | None) -> LoadOutcome:
        """Send the requests, and let the block last to its end, for idle time costs too.

        The prompts are others in each repeat, lest a server know them from the one before.
        """
        plan = replace(self._load, prompts=replace(self._load.prompts, salt=str(repeat)))

        async def run() -> LoadOutcome:
            stop, loop = asyncio.Event(), asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop.set)
            began = loop.time()
            outcome = await generator.run(plan, target, on_progress=on_progress, stop=stop)
            left = 0.0 if outcome.interrupted else outcome.seconds - (loop.time() - began)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, left))
            if stop.is_set() and not outcome.interrupted:
                return replace(outcome, interrupted=True, seconds=min(outcome.seconds, loop.time() - began))
            return outcome

        outcome = asyncio.run(run())
        _end_in_order()  # a loop that ends leaves SIGTERM as it is at first
        self._interrupted = self._interrupted or outcome.interrupted
        return outcome

    def _target(self, name: str, endpoint: Endpoint) -> Target:
        outside = self._sides[name].endpoint
        extra = IGNORE_EOS if outside is None else outside.body
        return Target(endpoint.url, endpoint.model, headers=endpoint.headers, extra=extra)

    def _write(self) -> Recording:
        """Write all that is known by now, and return it."""
        ours = [result for result in self._measured.results if self._sides[result.backend].endpoint is None]
        recording = self._plan.recording.model_copy(
            update={
                "blocks": list(self._blocks),
                "interrupted": self._interrupted,
                "calibration": calibrate([*ours, *self._alone]),
            }
        )
        write_run(self._plan.folder, recording, self._measured)
        return recording


def _end_in_order() -> None:
    """Let SIGTERM be an interruption, as Ctrl-C is: else it would leave what was started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _block_of(name: str, repeat: int, outcome: LoadOutcome, failure: str | None) -> Block:
    return Block(
        backend=name,
        repeat=repeat,
        began_at=0.0,
        seconds=outcome.seconds,
        sent=len(outcome.results),
        dispatch_lag_p99=outcome.dispatch_lag_p99,
        invalid=outcome.invalid,
        interrupted=outcome.interrupted,
        error=failure,
    )


def _settled(backend: ServingBackend) -> list[UsageRow]:
    """Return what a side that is down has used, once the meter says nothing new any more."""
    found, since = backend.usage(), time.monotonic()
    while time.monotonic() - since < METER_SECONDS:
        time.sleep(POLL_SECONDS)
        again = backend.usage()
        if again != found:
            found, since = again, time.monotonic()
    return found


def _seconds(rows: Sequence[UsageRow], phase: str) -> float:
    return sum(row.seconds for row in rows if row.phase == phase)


def _memory(rows: Sequence[UsageRow]) -> float:
    return sum(row.memory_byte_seconds for row in rows)
