"""The quickthaw SDK: write model functions, deploy them, call them. Imports neither torch nor the platform.

Names load on first use, so that `import quickthaw` costs milliseconds also where only a decorator is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import quickthaw.tools  # noqa: F401 - so that `quickthaw.tools` has a type
    from quickthaw.answer import Answer
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
        SecretNotFound,
        StartFailed,
        StartTooLate,
        TimedOut,
        Unavailable,
        Unreachable,
        UnusableAnswer,
        VersionNotFound,
    )
    from quickthaw.generation import (
        ChatOptions,
        Delta,
        Sampling,
        Structure,
        TokenLogprob,
        ToolCallDelta,
    )
    from quickthaw.message import Message, ToolCall
    from quickthaw.model import Model
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
    from quickthaw.tool import Tool
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
    "Answer",
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
    "Message",
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
    "SecretNotFound",
    "StartFailed",
    "StartTooLate",
    "Structure",
    "TimedOut",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "Unavailable",
    "Unreachable",
    "UnusableAnswer",
    "Usage",
    "Version",
    "VersionNotFound",
    "Webhook",
]

_HOMES = {
    "answer": """
        Answer
    """,
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
        PoisonInvocation QueueFull QuickthawError RateLimited RequestTooLarge SecretNotFound StartFailed StartTooLate
        TimedOut Unavailable Unreachable UnusableAnswer VersionNotFound
    """,
    "generation": """
        ChatOptions Delta Sampling Structure TokenLogprob ToolCallDelta
    """,
    "message": """
        Message ToolCall
    """,
    "model": """
        Model
    """,
    "resources": """
        AliasInfo CheckpointInfo InstanceInfo KeyCreated KeyInfo LogLine NodeInfo Quotas Scope Webhook
    """,
    "retry": """
        Backoff
    """,
    "tool": """
        Tool
    """,
    "types": """
        Event EventType FunctionInfo FunctionSpec InvocationInfo InvocationState Limits Usage Version
    """,
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}
_MODULES = frozenset({"tools"})  # that are used by their names: quickthaw.tools.run


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"quickthaw.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'quickthaw' has no attribute {name!r}")
    value = getattr(import_module(f"quickthaw.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
