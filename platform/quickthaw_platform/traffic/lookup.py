"""Asks a quickthaw gateway about the invocations of a run: cold or warm, from which tier, where, how long queued."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from quickthaw_platform.traffic.result import RequestResult
from quickthaw_platform.traffic.target import Target

AT_ONCE = 16
PATIENCE_SECONDS = 30.0


class _Seen(BaseModel):
    """What is taken of an InvocationInfo; a newer gateway may say more."""

    model_config = ConfigDict(extra="ignore")

    created_at: float
    assigned_at: float | None = None
    node: str | None = None
    tier: str | None = None
    stages: dict[str, float] = {}


async def looked_up(
    results: tuple[RequestResult, ...], target: Target, http: httpx.AsyncClient
) -> tuple[tuple[RequestResult, ...], tuple[str, ...]]:
    """Return the results with what the platform says of them; a note says how many it could say nothing of."""
    gate = asyncio.Semaphore(AT_ONCE)
    pairs = await asyncio.gather(*(_with_record(result, target, http, gate) for result in results))
    failures = [why for _, why in pairs if why is not None]
    notes = () if not failures else (f"{len(failures)} invocations could not be looked up: {failures[0]}",)
    return tuple(result for result, _ in pairs), notes


async def _with_record(
    result: RequestResult, target: Target, http: httpx.AsyncClient, gate: asyncio.Semaphore
) -> tuple[RequestResult, str | None]:
    if result.invocation is None:
        return result, None
    try:
        async with gate, asyncio.timeout(PATIENCE_SECONDS):
            answer = await http.get(f"{target.url.rstrip('/')}/v1/invocations/{result.invocation}")
        answer.raise_for_status()
        seen = _Seen.model_validate_json(answer.content)
    except (httpx.HTTPError, TimeoutError, ValidationError) as error:
        return (
            result,
            f"{result.invocation}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
        )
    queue = None if seen.assigned_at is None else seen.assigned_at - seen.created_at
    known = replace(result, cold=bool(seen.stages), tier=seen.tier, node=seen.node, queue=queue, stages=seen.stages)
    return known, None
