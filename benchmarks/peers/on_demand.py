"""Starts a server because a request came, and passes the request on as soon as the server is up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.client import Target, stream_when_up
from benchmarks.processes import Child

PATIENCE_SECONDS = 120.0


def first_token_seconds(server: Child, target: Target, body: Mapping[str, Any]) -> float:
    """Start `server`, ask as soon as it answers, end it; return the time from before the start to the first token.

    Raises RuntimeError with the end of its log where it ends by itself.
    """
    asked = time.monotonic()
    with server:
        answer = asyncio.run(stream_when_up(target, body, PATIENCE_SECONDS, server.check))
        if not answer.arrivals:
            raise RuntimeError(f"{target.url} sent no text: {answer.error}\n{server.tail()}")
        return answer.arrivals[0].at - asked
