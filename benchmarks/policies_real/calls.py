"""Calls of a scenario, sent to a real platform when they are due, and what their clients saw."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.client import stream
from benchmarks.policies_real.nodes import RealNodes
from benchmarks.policies_real.settings import request
from benchmarks.sse import Arrival, StreamReader
from quickthaw.types import EventType, InvocationState
from quickthaw_platform.simulator.arrivals import calls
from quickthaw_platform.simulator.scenario import Scenario

LEAD_SECONDS = 0.5
"""Before the first call is due."""

CALL_SECONDS = 300.0
"""A call that has not ended after this is lost."""

_EVENT, _DATA = b"event:", b"data:"


@dataclass(frozen=True, slots=True)
class Due:
    """A call to be sent. Seconds from the beginning."""

    at: float
    function: str
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A call as its client saw it: seconds from when it was due to its first token; whether it waited for a slot."""

    first_token: float | None
    waited: bool
    error: str | None = None


@dataclass(slots=True)
class CallReader(StreamReader):
    """Reads the events of an invocation."""

    waited: bool = False
    _type: str = ""

    def feed(self, line: bytes, at: float) -> None:
        """Take one line that came at `at`."""
        if line.startswith(_EVENT):
            self._type = line[len(_EVENT) :].strip().decode()
        elif line.startswith(_DATA):
            self._event(self._type, json.loads(line[len(_DATA) :]), at)

    def _event(self, kind: str, data: dict[str, Any], at: float) -> None:
        match kind:
            case EventType.STATUS:
                self.waited = self.waited or data.get("state") == InvocationState.QUEUED
            case EventType.CHUNK:
                self.arrivals.append(Arrival(at, data["delta"]["text"]))
            case EventType.RESULT:
                self.done = True
            case EventType.ERROR:
                self.error = json.dumps(data["error"])

    def seen(self) -> Seen:
        """Return what came of the call."""
        complete = self.done and self.error is None and bool(self.arrivals)
        first = self.arrivals[0].at - self.sent if complete else None
        return Seen(first, self.waited, None if complete else self.error or "the stream ended before its result")


def due(scenario: Scenario) -> list[Due]:
    """Return the very calls that the simulator would play, in order."""
    names = scenario.function_names()
    return [
        Due(at, names[function], tokens_in, tokens_out)
        for chunk in calls(scenario)
        for at, function, tokens_in, tokens_out in zip(
            chunk.times.tolist(),
            chunk.functions.tolist(),
            chunk.tokens_in.tolist(),
            chunk.tokens_out.tolist(),
            strict=True,
        )
    ]


def replay(platform: RealNodes, wanted: Sequence[Due]) -> list[Seen]:
    """Send every call when it is due, whatever became of those before, and wait until all have ended."""
    return asyncio.run(_all(platform, wanted, LEAD_SECONDS))


def one(platform: RealNodes, function: str, tokens_in: int, tokens_out: int) -> float:
    """Call a function now and return the seconds to its first token; RuntimeError where it fails."""
    (seen,) = asyncio.run(_all(platform, [Due(0.0, function, tokens_in, tokens_out)], 0.0))
    if seen.first_token is None:
        raise RuntimeError(f"a call of {function} failed: {seen.error}")
    return seen.first_token


async def _all(platform: RealNodes, wanted: Iterable[Due], lead_seconds: float) -> list[Seen]:
    began = time.monotonic() + lead_seconds
    return list(await asyncio.gather(*(_call(platform, call, began + call.at) for call in wanted)))


async def _call(platform: RealNodes, call: Due, at: float) -> Seen:
    await asyncio.sleep(max(0.0, at - time.monotonic()))
    reader = CallReader(at)
    body = request(call.tokens_in, call.tokens_out)
    try:
        await asyncio.wait_for(stream(platform.call_target(call.function), body, reader), CALL_SECONDS)
    except TimeoutError:
        reader.error = f"no end after {CALL_SECONDS} s"
    return reader.seen()
