"""The quickthaw SDK: write model functions, deploy them, call them. Imports neither torch nor the platform.

Names load on first use, so that `import quickthaw` costs milliseconds also where only a decorator is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quickthaw.app import App, Function
    from quickthaw.async_client import AsyncClient, AsyncInvocation
    from quickthaw.client import Client, Invocation
    from quickthaw.errors import (
        AliasNotFound,
        AuthenticationFailed,
        BackendNotFound,
        CheckpointNotFound,
        Conflict,
        ContextLengthExceeded,
        EngineNotFound,
        FunctionFailed,
        FunctionNotFound,
        HandlerDiverged,
        HandlerFailed,
        InstanceLost,
        InstanceNotFound,
        InvalidRequest,
        InvalidSource,
        InvocationCancelled,
        InvocationNotFound,
        KeyNotFound,
        MemoryLimitExceeded,
        NoCapacity,
        NodeLost,
        NodeNotFound,
        NotFound,
        NotServable,
        PermissionDenied,
        PoisonInvocation,
        QueueFull,
        QuickthawError,
        RateLimited,
        RequestTooLarge,
        StartFailed,
        StartTooLate,
        TimedOut,
        Unavailable,
        Unreachable,
        VersionNotFound,
    )
    from quickthaw.generation import (
        ChatOptions,
        Delta,
        Model,
        Sampling,
        Structure,
        TokenLogprob,
        ToolCallDelta,
    )
    from quickthaw.resources import (
        AliasInfo,
        CheckpointInfo,
        InstanceInfo,
        KeyCreated,
        KeyInfo,
        LogLine,
        NodeInfo,
        Quotas,
        Scope,
        Webhook,
    )
    from quickthaw.retry import Backoff
    from quickthaw.types import (
        Event,
        EventType,
        FunctionInfo,
        FunctionSpec,
        InvocationInfo,
        InvocationState,
        Limits,
        Usage,
        Version,
    )

__all__ = [
    "AliasInfo",
    "AliasNotFound",
    "App",
    "AsyncClient",
    "AsyncInvocation",
    "AuthenticationFailed",
    "BackendNotFound",
    "Backoff",
    "ChatOptions",
    "CheckpointInfo",
    "CheckpointNotFound",
    "Client",
    "Conflict",
    "ContextLengthExceeded",
    "Delta",
    "EngineNotFound",
    "Event",
    "EventType",
    "Function",
    "FunctionFailed",
    "FunctionInfo",
    "FunctionNotFound",
    "FunctionSpec",
    "HandlerDiverged",
    "HandlerFailed",
    "InstanceInfo",
    "InstanceLost",
    "InstanceNotFound",
    "InvalidRequest",
    "InvalidSource",
    "Invocation",
    "InvocationCancelled",
    "InvocationInfo",
    "InvocationNotFound",
    "InvocationState",
    "KeyCreated",
    "KeyInfo",
    "KeyNotFound",
    "Limits",
    "LogLine",
    "MemoryLimitExceeded",
    "Model",
    "NoCapacity",
    "NodeInfo",
    "NodeLost",
    "NodeNotFound",
    "NotFound",
    "NotServable",
    "PermissionDenied",
    "PoisonInvocation",
    "QueueFull",
    "QuickthawError",
    "Quotas",
    "RateLimited",
    "RequestTooLarge",
    "Sampling",
    "Scope",
    "StartFailed",
    "StartTooLate",
    "Structure",
    "TimedOut",
    "TokenLogprob",
    "ToolCallDelta",
    "Unavailable",
    "Unreachable",
    "Usage",
    "Version",
    "VersionNotFound",
    "Webhook",
]

_HOMES = {
    "app": """
        App Function
    """,
    "async_client": """
        AsyncClient AsyncInvocation
    """,
    "client": """
        Client Invocation
    """,
    "errors": """
        AliasNotFound AuthenticationFailed BackendNotFound CheckpointNotFound Conflict ContextLengthExceeded
        EngineNotFound FunctionFailed FunctionNotFound HandlerDiverged HandlerFailed InstanceLost
        InstanceNotFound InvalidRequest InvalidSource InvocationCancelled InvocationNotFound KeyNotFound
        MemoryLimitExceeded NoCapacity NodeLost NodeNotFound NotFound NotServable PermissionDenied
        PoisonInvocation QueueFull QuickthawError RateLimited RequestTooLarge StartFailed StartTooLate TimedOut
        Unavailable Unreachable VersionNotFound
    """,
    "generation": """
        ChatOptions Delta Model Sampling Structure TokenLogprob ToolCallDelta
    """,
    "resources": """
        AliasInfo CheckpointInfo InstanceInfo KeyCreated KeyInfo LogLine NodeInfo Quotas Scope Webhook
    """,
    "retry": """
        Backoff
    """,
    "types": """
        Event EventType FunctionInfo FunctionSpec InvocationInfo InvocationState Limits Usage Version
    """,
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'quickthaw' has no attribute {name!r}")
    value = getattr(import_module(f"quickthaw.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
