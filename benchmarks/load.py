"""Many streams at once from one asyncio process, and what that process itself used."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.client import Target, stream
from benchmarks.sse import Stream

STREAM_SECONDS = 120.0
"""A stream that has not ended after this is lost, unless told otherwise."""

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Load:
    """What a load run saw. `client_cores`: the generator's own processor seconds a second; near 1 it is the limit."""

    streams: tuple[Stream, ...]  # by the number of their request
    seconds: float
    client_cores: float

    @property
    def requests_per_second(self) -> float:
        """Ended requests over the whole run."""
        return len(self.streams) / self.seconds


async def wave(target: Target, bodies: Sequence[Body], seconds: float = STREAM_SECONDS) -> list[Stream]:
    """Send all bodies at once and return their streams, in order; one that has not ended after `seconds` is lost."""
    return list(await asyncio.gather(*(_bounded(target, body, seconds) for body in bodies)))


async def closed_loop(target: Target, body: Callable[[int], Body], concurrency: int, seconds: float) -> Load:
    """Keep `concurrency` requests open for `seconds`, numbered from 0, then let the last ones end."""
    numbers = itertools.count()
    streams: dict[int, Stream] = {}
    began, cpu = time.monotonic(), time.process_time()

    async def caller() -> None:
        while time.monotonic() - began < seconds:
            number = next(numbers)
            streams[number] = await _bounded(target, body(number), STREAM_SECONDS)

    await asyncio.gather(*(caller() for _ in range(concurrency)))
    took = time.monotonic() - began
    ordered = tuple(streams[number] for number in sorted(streams))
    return Load(ordered, took, (time.process_time() - cpu) / took)


async def _bounded(target: Target, body: Body, seconds: float) -> Stream:
    sent = time.monotonic()
    try:
        return await asyncio.wait_for(stream(target, body), seconds)
    except TimeoutError:
        return Stream(sent, time.monotonic(), (), done=False, error=f"no end after {seconds} s")
