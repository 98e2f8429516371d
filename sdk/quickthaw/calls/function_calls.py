"""Calls about functions: versions, aliases, secrets, logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quickthaw.calls.builders import delete, get, listing, nothing, path, request, send, stream_of
from quickthaw.protocol import Call
from quickthaw.resources import AliasInfo, AliasWeights, LogLine, Rollback, SecretInfo, SecretValue
from quickthaw.types import FunctionInfo, FunctionSpec, Version


def functions() -> Call[list[FunctionInfo]]:
    """List the functions."""
    return listing(FunctionInfo, "functions")


def function(name: str) -> Call[FunctionInfo]:
    """Describe a function."""
    return get(FunctionInfo, "functions", name)


def deploy(spec: FunctionSpec, alias: str, require: Sequence[str] = ()) -> Call[Version]:
    """Make a version (the same spec makes the same one) and point the alias to it, if it clears the bars."""
    call = send("POST", Version, spec, "functions")
    query: dict[str, str | Sequence[str]] = {"alias": alias}
    if require:
        query["require"] = list(require)
    return Call(call.method, call.path, call.answer, body=call.body, query=query)


def delete_function(name: str) -> Call[None]:
    """Delete a function with its versions, aliases and secrets."""
    return delete("functions", name)


def versions(name: str) -> Call[list[Version]]:
    """List a function's versions, in order of first deploy."""
    return listing(Version, "functions", name, "versions")


def aliases(name: str) -> Call[list[AliasInfo]]:
    """List a function's aliases."""
    return listing(AliasInfo, "functions", name, "aliases")


def set_alias(name: str, alias: str, weights: Mapping[str, float], require: Sequence[str] = ()) -> Call[AliasInfo]:
    """Point an alias to one or several weighted versions, if each clears the bars."""
    body = request(AliasWeights, weights=dict(weights), require=tuple(require))
    return send("PUT", AliasInfo, body, "functions", name, "aliases", alias)


def delete_alias(name: str, alias: str) -> Call[None]:
    """Forget an alias."""
    return delete("functions", name, "aliases", alias)


def rollback(name: str, alias: str, version: str | None) -> Call[AliasInfo]:
    """Point an alias back. Without a version it is relative, so it is never sent twice."""
    body = request(Rollback, alias=alias, version=version)
    return send("POST", AliasInfo, body, "functions", name, "rollback", repeatable=version is not None)


def secrets(name: str) -> Call[list[SecretInfo]]:
    """List the names of a function's secrets."""
    return listing(SecretInfo, "functions", name, "secrets")


def set_secret(name: str, key: str, value: str) -> Call[SecretInfo]:
    """Set a secret; instances that start from now on see it."""
    return send("PUT", SecretInfo, request(SecretValue, value=value), "functions", name, "secrets", key)


def delete_secret(name: str, key: str) -> Call[None]:
    """Forget a secret."""
    return delete("functions", name, "secrets", key)


def logs(name: str, after: str | None, limit: int | None) -> Call[list[LogLine]]:
    """Read a function's log lines, oldest first; `after` is the id of the last line already seen."""
    query = {"after": after, "limit": None if limit is None else str(limit)}
    return listing(LogLine, "functions", name, "logs", query={key: value for key, value in query.items() if value})


def follow_logs(name: str, after: str | None) -> Call[None]:
    """Open the stream of a function's log lines."""
    return stream_of(Call("GET", path("functions", name, "logs"), nothing, query={"follow": "true"}), after)
