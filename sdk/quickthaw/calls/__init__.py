"""Every call of the HTTP API as a value: the table in `resources` line by line. Sends nothing."""

from __future__ import annotations

from quickthaw.calls.builders import request
from quickthaw.calls.cluster_calls import (
    checkpoint,
    checkpoints,
    delete_checkpoint,
    drain_node,
    evict_checkpoint,
    instances,
    nodes,
    pull_checkpoint,
    router_accuracy,
    stop_instance,
)
from quickthaw.calls.function_calls import (
    aliases,
    delete_alias,
    delete_function,
    delete_secret,
    deploy,
    follow_logs,
    function,
    functions,
    logs,
    rollback,
    secrets,
    set_alias,
    set_secret,
    versions,
)
from quickthaw.calls.invocation_calls import CallOptions, cancel, events, explain, invocation, invoke, stream, submit
from quickthaw.calls.key_calls import create_key, keys, revoke_key

__all__ = [
    "CallOptions",
    "aliases",
    "cancel",
    "checkpoint",
    "checkpoints",
    "create_key",
    "delete_alias",
    "delete_checkpoint",
    "delete_function",
    "delete_secret",
    "deploy",
    "drain_node",
    "events",
    "evict_checkpoint",
    "explain",
    "follow_logs",
    "function",
    "functions",
    "instances",
    "invocation",
    "invoke",
    "keys",
    "logs",
    "nodes",
    "pull_checkpoint",
    "request",
    "revoke_key",
    "rollback",
    "router_accuracy",
    "secrets",
    "set_alias",
    "set_secret",
    "stop_instance",
    "stream",
    "submit",
    "versions",
]
