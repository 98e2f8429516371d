"""Finds out how an endpoint counts tokens, by two small requests."""

from __future__ import annotations

import asyncio
import time

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.traffic.exchange import Exchange, open_client
from quickthaw_platform.traffic.prompts import PROBE_CHARACTERS, Calibration, Prompts
from quickthaw_platform.traffic.target import Target

PROBE_SECONDS = 300.0


async def calibrate(target: Target, prompts: Prompts, timeout: float = PROBE_SECONDS) -> Calibration:
    """Send two prompts of known length and return how their tokens were counted.

    The first of them may wake the function: a run that follows at once finds it warm. InvalidRequest says what the
    endpoint answered where it is not fit to be measured.
    """
    async with open_client(target) as http:
        probes = []
        for characters in PROBE_CHARACTERS:
            exchange = Exchange(time.monotonic)
            try:
                async with asyncio.timeout(timeout):
                    await exchange.run(http, target.address, target.body(prompts.probe(characters), 1))
            except TimeoutError:
                raise InvalidRequest(f"{target.address} did not answer a first request in {timeout:g} s") from None
            probes.append((characters, _counted(exchange, target)))
    return Calibration.of(probes)


def _counted(exchange: Exchange, target: Target) -> int:
    reader = exchange.reader
    if reader.error is not None or reader.ended is None:
        raise InvalidRequest(f"{target.address} failed a first request: {reader.verdict()}")
    if reader.prompt_tokens is None:
        raise InvalidRequest(
            f"{target.address} does not say how many tokens a prompt has (`usage.prompt_tokens`). Use --no-probe: "
            "prompts are then of a usual number of characters a token"
        )
    return reader.prompt_tokens
