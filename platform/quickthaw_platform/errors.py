"""Errors of the server side: the SDK's tree, plus what never leaves the platform."""

from __future__ import annotations

from typing import Any

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
    UnusableAnswer,
    VersionNotFound,
    from_json,
)

__all__ = [
    "AliasNotFound",
    "AuthenticationFailed",
    "BackendNotFound",
    "CheckpointBroken",
    "CheckpointNotFound",
    "Conflict",
    "ContextLengthExceeded",
    "EngineNotFound",
    "FunctionFailed",
    "FunctionNotFound",
    "HandlerDiverged",
    "HandlerFailed",
    "InstanceLost",
    "InstanceNotFound",
    "InvalidRequest",
    "InvalidSource",
    "InvocationCancelled",
    "InvocationNotFound",
    "KeyNotFound",
    "LoadCancelled",
    "LogGap",
    "MemoryLimitExceeded",
    "NoCapacity",
    "NodeLost",
    "NodeNotFound",
    "NotFound",
    "NotServable",
    "PermissionDenied",
    "PluginBroken",
    "PoisonInvocation",
    "QueueFull",
    "QuickthawError",
    "RateLimited",
    "RemoteChanged",
    "RemoteDenied",
    "RemoteError",
    "RemoteMissing",
    "RemoteUnavailable",
    "RequestTooLarge",
    "SecretNotFound",
    "SettingsInvalid",
    "StartFailed",
    "StartTooLate",
    "TimedOut",
    "Unavailable",
    "UnusableAnswer",
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


class LoadCancelled(QuickthawError):
    """A load was stopped before it was complete, because nobody wants it any more."""

    default_code = "load_cancelled"


class RemoteError(QuickthawError):
    """A remote store did not do what it was asked; the message names the object.

    RemoteError
    ├── RemoteMissing
    ├── RemoteDenied
    ├── RemoteChanged
    └── RemoteUnavailable
    """

    default_code = "remote_error"


class RemoteMissing(RemoteError):
    """There is no such object, bucket or folder."""

    default_code = "remote_missing"


class RemoteDenied(RemoteError):
    """The store refuses these credentials."""

    default_code = "remote_denied"


class RemoteChanged(RemoteError):
    """The object was replaced between two reads of it."""

    default_code = "remote_changed"


class RemoteUnavailable(RemoteError):
    """The store did not answer properly, also after retries."""

    default_code = "remote_unavailable"


class LogGap(QuickthawError):
    """A writer of an invocation's log left events out, or Redis lost some of them in a crash.

    `last_seq` and `last_record` are the last event of the log, and the last record beside it.
    """

    default_code = "log_gap"

    def __init__(self, message: str, *, last_seq: int = 0, last_record: int = 0, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.last_seq = last_seq
        self.last_record = last_record
