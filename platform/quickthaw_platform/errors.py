"""Errors of the server side: the SDK's tree, plus what never leaves the platform."""

from __future__ import annotations

from quickthaw.errors import (
    AliasNotFound,
    AuthenticationFailed,
    CheckpointNotFound,
    Conflict,
    ContextLengthExceeded,
    EngineNotFound,
    FunctionFailed,
    FunctionNotFound,
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
    QueueFull,
    QuickthawError,
    RateLimited,
    RequestTooLarge,
    StartFailed,
    TimedOut,
    Unavailable,
    VersionNotFound,
    from_json,
)

__all__ = [
    "AliasNotFound",
    "AuthenticationFailed",
    "CheckpointBroken",
    "CheckpointNotFound",
    "Conflict",
    "ContextLengthExceeded",
    "EngineNotFound",
    "FunctionFailed",
    "FunctionNotFound",
    "HandlerFailed",
    "InstanceLost",
    "InstanceNotFound",
    "InvalidRequest",
    "InvalidSource",
    "InvocationCancelled",
    "InvocationNotFound",
    "KeyNotFound",
    "LogGap",
    "MemoryLimitExceeded",
    "NoCapacity",
    "NodeLost",
    "NodeNotFound",
    "NotFound",
    "NotServable",
    "PermissionDenied",
    "PluginBroken",
    "QueueFull",
    "QuickthawError",
    "RateLimited",
    "RequestTooLarge",
    "SettingsInvalid",
    "StartFailed",
    "TimedOut",
    "Unavailable",
    "VersionNotFound",
    "from_json",
]


class SettingsInvalid(QuickthawError):
    """A setting has a value that cannot be used; the message names the setting and its source."""

    default_code = "settings_invalid"


class PluginBroken(QuickthawError):
    """A plugin is installed and cannot be loaded; the message has its cause."""

    default_code = "plugin_broken"


class CheckpointBroken(QuickthawError):
    """A checkpoint on the disk is incomplete or its manifest cannot be read; the message names the file."""

    default_code = "checkpoint_broken"


class LogGap(QuickthawError):
    """A writer of an invocation's log left events out, or Redis lost some of them in a crash."""

    default_code = "log_gap"
