"""Every call of the HTTP API as a value: the table in `resources` line by line. Sends nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar, cast
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from quickthaw.errors import InvalidRequest
from quickthaw.protocol import IDEMPOTENCY_HEADER, Call, parse
from quickthaw.resources import (
    AliasInfo,
    AliasWeights,
    CheckpointInfo,
    Deleted,
    InstanceInfo,
    InvokeRequest,
    KeyCreated,
    KeyInfo,
    KeyRequest,
    LogLine,
    NodeInfo,
    Quotas,
    Rollback,
    Scope,
    SecretInfo,
    SecretValue,
    Webhook,
)
from quickthaw.types import FunctionInfo, FunctionSpec, InvocationInfo, Limits, Sampling, Version

T = TypeVar("T")
R = TypeVar("R", bound=BaseModel)


def request(kind: type[R], **fields: Any) -> R:
    """Build a request record; InvalidRequest names the field that does not fit."""
    try:
        return kind(**fields)
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"]))
        raise InvalidRequest(f"{where}: {detail['msg']}", param=where) from error


def _one(kind: type[T]) -> Callable[[Any], T]:
    return lambda body: cast("T", parse(kind, body))


def _many(kind: type[T]) -> Callable[[Any], list[T]]:
    def answer(body: Any) -> list[T]:
        data = body.get("data") if isinstance(body, dict) else None
        return cast("list[T]", parse(list[kind], data))  # type: ignore[valid-type]  # a list type made at run time

    return answer


def _path(*parts: str) -> str:
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def _get(kind: type[T], *parts: str) -> Call[T]:
    return Call("GET", _path(*parts), _one(kind))


def _list(kind: type[T], *parts: str, query: Mapping[str, str] | None = None) -> Call[list[T]]:
    return Call("GET", _path(*parts), _many(kind), query=query or {})


def _delete(*parts: str) -> Call[None]:
    return Call("DELETE", _path(*parts), lambda body: parse(Deleted, body) and None)


def _send(method: str, kind: type[T], body: BaseModel, *parts: str, repeatable: bool = True) -> Call[T]:
    return Call(method, _path(*parts), _one(kind), body=body.model_dump(mode="json"), repeatable=repeatable)


# --- functions ---


def functions() -> Call[list[FunctionInfo]]:
    """List the functions."""
    return _list(FunctionInfo, "functions")


def function(name: str) -> Call[FunctionInfo]:
    """Describe a function."""
    return _get(FunctionInfo, "functions", name)


def deploy(spec: FunctionSpec, alias: str) -> Call[Version]:
    """Make a version (the same spec makes the same one) and point the alias to it."""
    call = _send("POST", Version, spec, "functions")
    return Call(call.method, call.path, call.answer, body=call.body, query={"alias": alias})


def delete_function(name: str) -> Call[None]:
    """Delete a function with its versions, aliases and secrets."""
    return _delete("functions", name)


def versions(name: str) -> Call[list[Version]]:
    """List a function's versions, in order of first deploy."""
    return _list(Version, "functions", name, "versions")


def aliases(name: str) -> Call[list[AliasInfo]]:
    """List a function's aliases."""
    return _list(AliasInfo, "functions", name, "aliases")


def set_alias(name: str, alias: str, weights: Mapping[str, float]) -> Call[AliasInfo]:
    """Point an alias to one or several weighted versions."""
    body = request(AliasWeights, weights=dict(weights))
    return _send("PUT", AliasInfo, body, "functions", name, "aliases", alias)


def delete_alias(name: str, alias: str) -> Call[None]:
    """Forget an alias."""
    return _delete("functions", name, "aliases", alias)


def rollback(name: str, alias: str, version: str | None) -> Call[AliasInfo]:
    """Point an alias back. Without a version it is relative, so it is never sent twice."""
    body = request(Rollback, alias=alias, version=version)
    return _send("POST", AliasInfo, body, "functions", name, "rollback", repeatable=version is not None)


def secrets(name: str) -> Call[list[SecretInfo]]:
    """List the names of a function's secrets."""
    return _list(SecretInfo, "functions", name, "secrets")


def set_secret(name: str, key: str, value: str) -> Call[SecretInfo]:
    """Set a secret; instances that start from now on see it."""
    return _send("PUT", SecretInfo, request(SecretValue, value=value), "functions", name, "secrets", key)


def delete_secret(name: str, key: str) -> Call[None]:
    """Forget a secret."""
    return _delete("functions", name, "secrets", key)


def logs(name: str, after: str | None, limit: int | None) -> Call[list[LogLine]]:
    """Read a function's log lines, oldest first; `after` is the id of the last line already seen."""
    query = {"after": after, "limit": None if limit is None else str(limit)}
    return _list(LogLine, "functions", name, "logs", query={key: value for key, value in query.items() if value})


def follow_logs(name: str, after: str | None) -> Call[None]:
    """Open the stream of a function's log lines."""
    return _stream(Call("GET", _path("functions", name, "logs"), _nothing, query={"follow": "true"}), after)


# --- invocations ---


class CallOptions(TypedDict, total=False):
    """What a call of a function may say besides its input."""

    sampling: Sampling | Mapping[str, Any] | None  # only the fields that are set count
    alias: str | None  # None: live
    webhook: Webhook | Mapping[str, Any] | None
    limits: Limits | Mapping[str, Any] | None  # only the fields that are set count
    idempotency_key: str | None  # None: a fresh one


def invoke(name: str, input: Mapping[str, Any], options: CallOptions) -> Call[InvocationInfo]:
    """Call a function and wait for its end."""
    return _invoke(name, "invoke", input, options, _one(InvocationInfo), waits=True)


def submit(name: str, input: Mapping[str, Any], options: CallOptions) -> Call[InvocationInfo]:
    """Call a function without waiting."""
    return _invoke(name, "async", input, options, _one(InvocationInfo))


def stream(name: str, input: Mapping[str, Any], options: CallOptions) -> Call[None]:
    """Call a function and open the stream of its events."""
    return _stream(_invoke(name, "stream", input, options, _nothing), None)


def _invoke(
    name: str,
    how: str,
    input: Mapping[str, Any],
    options: CallOptions,
    answer: Callable[[Any], T],
    waits: bool = False,
) -> Call[T]:
    fields = {option: value for option, value in options.items() if value is not None}
    key = fields.pop("idempotency_key", None) or uuid.uuid4().hex
    body = request(InvokeRequest, input=dict(input), **fields).model_dump(mode="python", exclude_unset=True)
    return Call(
        "POST", _path("functions", name, how), answer, body=body, headers={IDEMPOTENCY_HEADER: str(key)}, waits=waits
    )


def invocation(id: str) -> Call[InvocationInfo]:
    """Look at an invocation."""
    return _get(InvocationInfo, "invocations", id)


def events(id: str, after: int) -> Call[None]:
    """Open the stream of an invocation's events that follow event `after`."""
    return _stream(Call("GET", _path("invocations", id, "events"), _nothing), str(after) if after else None)


def cancel(id: str) -> Call[InvocationInfo]:
    """Cancel an invocation; one that has ended stays as it is."""
    return Call("DELETE", _path("invocations", id), _one(InvocationInfo))


def _nothing(body: Any) -> None:  # noqa: ARG001  (a stream has no JSON answer)
    return None


def _stream(call: Call[None], after: str | None) -> Call[None]:
    headers = {**call.headers, "Accept": "text/event-stream"}
    if after is not None:
        headers["Last-Event-ID"] = after
    return Call(call.method, call.path, call.answer, body=call.body, query=call.query, headers=headers)


# --- cluster ---


def nodes() -> Call[list[NodeInfo]]:
    """List the nodes."""
    return _list(NodeInfo, "nodes")


def drain_node(id: str) -> Call[NodeInfo]:
    """Let a node finish what runs and take nothing new."""
    return Call("POST", _path("nodes", id, "drain"), _one(NodeInfo))


def instances() -> Call[list[InstanceInfo]]:
    """List the instances."""
    return _list(InstanceInfo, "instances")


def stop_instance(id: str) -> Call[None]:
    """Let an instance finish what runs and end it."""
    return _delete("instances", id)


def checkpoints() -> Call[list[CheckpointInfo]]:
    """List the imported checkpoints."""
    return _list(CheckpointInfo, "checkpoints")


def delete_checkpoint(name: str) -> Call[None]:
    """Remove a checkpoint from every node's disk."""
    return _delete("checkpoints", name)


# --- keys ---


def keys() -> Call[list[KeyInfo]]:
    """List the API keys."""
    return _list(KeyInfo, "keys")


def create_key(name: str, scopes: Sequence[Scope | str], quotas: Quotas | Mapping[str, Any] | None) -> Call[KeyCreated]:
    """Make an API key."""
    body = request(KeyRequest, name=name, scopes=tuple(scopes), quotas=quotas or Quotas())
    return _send("POST", KeyCreated, body, "keys", repeatable=False)


def revoke_key(id: str) -> Call[None]:
    """Revoke an API key at once."""
    return _delete("keys", id)
