"""Calls of functions, and about the invocations they make."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from quickthaw.calls.builders import get, nothing, one, path, request, send, stream_of
from quickthaw.calls.call_options import CallOptions, request_fields
from quickthaw.protocol import IDEMPOTENCY_HEADER, Call
from quickthaw.resources import Explanation, InvocationLife, InvokeRequest, MigrateRequest
from quickthaw.types import InvocationInfo

T = TypeVar("T")


def invoke(name: str, input: Mapping[str, Any], options: CallOptions) -> Call[InvocationInfo]:
    """Call a function and wait for its end."""
    return _invoke(name, "invoke", input, options, one(InvocationInfo), waits=True)


def submit(name: str, input: Mapping[str, Any], options: CallOptions) -> Call[InvocationInfo]:
    """Call a function without waiting."""
    return _invoke(name, "async", input, options, one(InvocationInfo))


def unawaited(call: Call[InvocationInfo]) -> Call[InvocationInfo]:
    """Ask for the invocation that `invoke` made, without waiting for its end: the same call, so under the same key."""
    return replace(call, path=f"{call.path.removesuffix('invoke')}async", waits=False)


def stream(name: str, input: Mapping[str, Any], options: CallOptions) -> Call[None]:
    """Call a function and open the stream of its events."""
    return stream_of(_invoke(name, "stream", input, options, nothing), None)


def _invoke(
    name: str,
    how: str,
    input: Mapping[str, Any],
    options: CallOptions,
    answer: Callable[[Any], T],
    waits: bool = False,
) -> Call[T]:
    fields = request_fields(options)
    key = fields.pop("idempotency_key", None) or uuid.uuid4().hex
    body = request(InvokeRequest, input=dict(input), **fields).model_dump(mode="python", exclude_unset=True)
    return Call(
        "POST", path("functions", name, how), answer, body=body, headers={IDEMPOTENCY_HEADER: str(key)}, waits=waits
    )


def invocation(id: str) -> Call[InvocationInfo]:
    """Look at an invocation."""
    return get(InvocationInfo, "invocations", id)


def events(id: str, after: int) -> Call[None]:
    """Open the stream of an invocation's events that follow event `after`."""
    return stream_of(Call("GET", path("invocations", id, "events"), nothing), str(after) if after else None)


def cancel(id: str) -> Call[InvocationInfo]:
    """Cancel an invocation; one that has ended stays as it is."""
    return Call("DELETE", path("invocations", id), one(InvocationInfo))


def explain(id: str) -> Call[Explanation]:
    """Ask why an invocation ran where and when it did."""
    return get(Explanation, "invocations", id, "explain")


def life(id: str) -> Call[InvocationLife]:
    """Ask where an invocation was, and when."""
    return get(InvocationLife, "invocations", id, "life")


def migrate(id: str, node: str | None) -> Call[InvocationInfo]:
    """Move a running invocation to another node."""
    return send("POST", InvocationInfo, MigrateRequest(node=node), "invocations", id, "migrate", repeatable=False)
