"""What both clients need of httpx: headers, timeouts, and what its exceptions mean."""

from __future__ import annotations

import math
from typing import Any

import httpx

from quickthaw import proxies
from quickthaw.config import Endpoint
from quickthaw.errors import InvalidRequest
from quickthaw.protocol import Call, Fault, Reply
from quickthaw.version import VERSION

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
"""How long a call that waits for no invocation may take."""
LAST_SECONDS = 5.0
"""For what is asked on the way out, by Ctrl-C or at the end of a task: what was sent counts, answered or not."""

DEFAULT_TIMEOUT_SECONDS = 900.0
"""How long `invoke` waits for an answer. The function's own limits come first; this one ends a dead connection."""

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


def headers(endpoint: Endpoint) -> dict[str, str]:
    """Return what every request carries."""
    common = {"User-Agent": f"quickthaw/{VERSION}"}
    if endpoint.api_key is not None:
        common["Authorization"] = f"Bearer {endpoint.api_key}"
    return common


def parts(call: Call[Any], endpoint: Endpoint, read_seconds: float) -> dict[str, Any]:
    """Return the keyword arguments of httpx's `request` and `stream` for a call."""
    content = call.content()
    extra = {"Content-Type": "application/json"} if content is not None else {}
    return {
        "method": call.method,
        "url": endpoint.url + call.path,
        "params": dict(call.query) or None,
        "headers": {**call.headers, **extra},
        "content": content,
        "timeout": httpx.Timeout(read_seconds, connect=min(CONNECT_SECONDS, read_seconds)),
    }


def checked(timeout: float) -> float:
    """Return a timeout of a client; InvalidRequest where it is no time that anything can take."""
    if not 0 < timeout < math.inf:
        raise InvalidRequest(f"timeout must be more than 0 seconds, and a number, not {timeout!r}", param="timeout")
    return timeout


def patience(call: Call[Any], timeout: float) -> float:
    """Return how many seconds to wait for the answer to a call."""
    return timeout if call.waits else min(timeout, ANSWER_SECONDS)


def reply(response: httpx.Response) -> Reply:
    """Take what we need from a response that has been read."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, headers, response.content, response.extensions.get(proxies.THROUGH))


def fault(error: httpx.TransportError) -> Fault:
    """Say what a transport error means for trying again."""
    detail = str(error) or type(error).__name__
    return Fault(detail, sent=not isinstance(error, _NEVER_SENT), waited_too_long=isinstance(error, httpx.ReadTimeout))
