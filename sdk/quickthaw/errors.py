"""The one error tree of quickthaw: the platform raises it, HTTP carries it, the client raises it again.

QuickthawError
├── InvalidRequest                400  the request cannot be served as it is
│   ├── ContextLengthExceeded     400  prompt and answer do not fit into the model's context
│   ├── InvalidSource             400  the handler file does not compile, or does not hold the named function
│   └── NotServable               400  the function does not serve this kind of call
├── AuthenticationFailed          401  no API key, or an unknown one
├── PermissionDenied              403  the key lacks the scope
├── NotFound                      404  (with near names in the message)
│   ├── FunctionNotFound, VersionNotFound, AliasNotFound, InvocationNotFound,
│   ├── CheckpointNotFound, EngineNotFound, BackendNotFound, KeyNotFound, NodeNotFound,
│   └── InstanceNotFound, SecretNotFound
├── Conflict                      409  the state of the thing forbids it
├── RequestTooLarge               413
├── RateLimited                   429  a quota of the API key is used up
├── QueueFull                     429  as many invocations wait as the function allows
├── InvocationCancelled           499
├── FunctionFailed                500  the function's own fault
│   ├── HandlerFailed             500  the handler raised, exited, or returned what JSON cannot carry
│   ├── UnusableAnswer            500  the model's answer is not what the handler asked for
│   ├── HandlerDiverged           500  run again after an interruption, the handler did something else than before
│   ├── MemoryLimitExceeded       500  the handler allocated past its limit
│   ├── PoisonInvocation          500  its process died again and again while it ran this invocation
│   └── StartFailed               500  an instance could not start; the cause is in the message
├── Unavailable                   503  the platform's fault; trying again can help
│   ├── InstanceLost              503  the process that served the invocation died
│   ├── NodeLost                  503  the node that served the invocation died or was cut off
│   ├── NoCapacity                503  no node can hold the instance
│   ├── StartTooLate              503  no instance would be ready within the invocation's start limit
│   └── Unreachable               503  raised by the client: no gateway answers at the URL
└── TimedOut                      504  which limit ran out is in `code`
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar

_LONGEST_NAME = 200
"""Characters of a wrong name that are compared with the known ones, and shown."""


class QuickthawError(Exception):
    """Root of the tree. `message` says what is wrong and what to do next."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = str(message).encode(errors="backslashreplace").decode()  # it has to travel: no half surrogates
        self.code = code or self.default_code
        self.param = param
        self.retry_after_seconds = retry_after_seconds

    def to_json(self) -> dict[str, Any]:
        """Return the OpenAI error object: message, type, param, code (and retry_after_seconds where it is known)."""
        body: dict[str, Any] = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        if self.retry_after_seconds is not None:
            body["retry_after_seconds"] = self.retry_after_seconds
        return body


class InvalidRequest(QuickthawError):
    """The request cannot be served as it is."""

    status = 400
    type = "invalid_request_error"
    default_code = "invalid_request"


class ContextLengthExceeded(InvalidRequest):
    """Prompt and answer do not fit into the model's context."""

    default_code = "context_length_exceeded"


class InvalidSource(InvalidRequest):
    """The handler file does not compile, or does not hold the named function."""

    default_code = "invalid_source"


class NotServable(InvalidRequest):
    """The function does not serve this kind of call."""

    default_code = "not_servable"


class AuthenticationFailed(QuickthawError):
    """No API key was sent, or an unknown or revoked one."""

    status = 401
    type = "authentication_error"
    default_code = "invalid_api_key"


class PermissionDenied(QuickthawError):
    """The API key lacks the scope that the call needs."""

    status = 403
    type = "permission_error"
    default_code = "permission_denied"


class NotFound(QuickthawError):
    """The named thing does not exist."""

    status = 404
    type = "invalid_request_error"
    default_code = "not_found"
    noun: ClassVar[str] = "thing"

    @classmethod
    def named(cls, name: str, known: Iterable[str], hint: str = "") -> NotFound:
        """Build the error for an unknown `name`, listing the near ones (or, if none is near, the known ones)."""
        known, name = sorted(known), name[:_LONGEST_NAME]
        near = difflib.get_close_matches(name, known, n=3) or known[:10]
        choice = f"known: {', '.join(near)}" if near else f"there is no {cls.noun} yet"
        message = f"no {cls.noun} is called {name!r}; {choice}"
        return cls(f"{message}. {hint}" if hint else message, param=cls.noun)


class FunctionNotFound(NotFound):
    """No function has this name."""

    default_code = "model_not_found"
    noun = "function"


class VersionNotFound(NotFound):
    """The function has no such version."""

    default_code = "version_not_found"
    noun = "version"


class AliasNotFound(NotFound):
    """The function has no such alias."""

    default_code = "alias_not_found"
    noun = "alias"


class InvocationNotFound(NotFound):
    """No invocation has this id, or its record has expired."""

    default_code = "invocation_not_found"
    noun = "invocation"


class CheckpointNotFound(NotFound):
    """No node holds a checkpoint of this name."""

    default_code = "checkpoint_not_found"
    noun = "checkpoint"


class BackendNotFound(NotFound):
    """No such serving backend is installed."""

    default_code = "backend_not_found"
    noun = "backend"


class EngineNotFound(NotFound):
    """No installed plugin provides this engine, or packages that it needs are not installed."""

    default_code = "engine_not_found"
    noun = "engine"


class KeyNotFound(NotFound):
    """No API key has this id."""

    default_code = "key_not_found"
    noun = "key"


class NodeNotFound(NotFound):
    """No node has this id."""

    default_code = "node_not_found"
    noun = "node"


class InstanceNotFound(NotFound):
    """No instance has this id."""

    default_code = "instance_not_found"
    noun = "instance"


class SecretNotFound(NotFound):
    """The function has no such secret."""

    default_code = "secret_not_found"
    noun = "secret"


class Conflict(QuickthawError):
    """The state of the thing forbids it."""

    status = 409
    type = "invalid_request_error"
    default_code = "conflict"


class RequestTooLarge(QuickthawError):
    """The request body is larger than the platform accepts."""

    status = 413
    type = "invalid_request_error"
    default_code = "request_too_large"


class RateLimited(QuickthawError):
    """A quota of the API key is used up; `retry_after_seconds` says when it is free again."""

    status = 429
    type = "rate_limit_error"
    default_code = "rate_limit_exceeded"


class QueueFull(QuickthawError):
    """As many invocations of the function wait as it allows."""

    status = 429
    type = "rate_limit_error"
    default_code = "queue_full"


class InvocationCancelled(QuickthawError):
    """The invocation was cancelled by its caller, or its caller hung up."""

    status = 499
    type = "cancelled"
    default_code = "cancelled"


class FunctionFailed(QuickthawError):
    """The function's own fault."""

    type = "function_error"
    default_code = "function_failed"


class HandlerFailed(FunctionFailed):
    """The handler raised, exited, or returned what JSON cannot carry."""

    default_code = "handler_failed"


class UnusableAnswer(FunctionFailed):
    """The model's answer is not what the handler asked for: cut short, of another shape, or still calling tools."""

    default_code = "unusable_answer"


class HandlerDiverged(FunctionFailed):
    """Run again after an interruption, the handler asked or put out something else than it had before."""

    default_code = "handler_diverged"


class PoisonInvocation(FunctionFailed):
    """Each process that ran the invocation died, and nothing new was put out in between."""

    default_code = "poison_invocation"


class MemoryLimitExceeded(FunctionFailed):
    """The handler allocated past its memory limit."""

    default_code = "memory_limit_exceeded"


class StartFailed(FunctionFailed):
    """An instance could not start; the cause is in the message."""

    default_code = "start_failed"


class Unavailable(QuickthawError):
    """The platform's fault; trying again can help."""

    status = 503
    default_code = "unavailable"


class InstanceLost(Unavailable):
    """The process that served the invocation died."""

    default_code = "instance_lost"


class NodeLost(Unavailable):
    """The node that served the invocation died or was cut off."""

    default_code = "node_lost"


class NoCapacity(Unavailable):
    """No node can hold the instance."""

    default_code = "no_capacity"


class StartTooLate(Unavailable):
    """No instance is expected to be ready within the invocation's start limit, so it was not left to wait."""

    default_code = "start_too_late"


class Unreachable(Unavailable):
    """No gateway answers at the URL, or it went away and did not come back; raised by the client."""

    default_code = "unreachable"


class TimedOut(QuickthawError):
    """A limit ran out; `code` is one of start_timeout, first_token_timeout, token_timeout, total_timeout."""

    status = 504
    type = "timeout_error"
    default_code = "total_timeout"


def _tree(root: type[QuickthawError]) -> Iterable[type[QuickthawError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


_TIMEOUT_CODES = ("start_timeout", "first_token_timeout", "token_timeout", "total_timeout")


def from_json(body: dict[str, Any], status: int | None = None) -> QuickthawError:
    """Rebuild the error that `to_json` described; an unknown code becomes the nearest class by HTTP status."""
    code = str(body.get("code") or "")
    message = str(body.get("message") or "no message")
    by_code = {kind.default_code: kind for kind in _tree(QuickthawError)} | dict.fromkeys(_TIMEOUT_CODES, TimedOut)
    by_status: dict[int, type[QuickthawError]] = {}
    for kind in _tree(QuickthawError):
        by_status.setdefault(kind.status, kind)
    kind = by_code.get(code) or by_status.get(status or 500, QuickthawError)
    return kind(
        message, code=code or None, param=body.get("param"), retry_after_seconds=body.get("retry_after_seconds")
    )
