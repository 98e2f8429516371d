"""HTTP without I/O: what to send for a call, what an answer means, and whether to send it again.

Both clients drive the same `Exchange`; they only move bytes and sleep.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from quickthaw import errors
from quickthaw.config import Endpoint
from quickthaw.errors import QuickthawError, TimedOut, Unreachable
from quickthaw.retry import RETRIED_STATUS, Backoff

T = TypeVar("T")

INVOCATION_HEADER = "x-invocation-id"
IDEMPOTENCY_HEADER = "Idempotency-Key"


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call of the API. `answer` reads the JSON of a successful reply."""

    method: str
    path: str  # already percent-encoded
    answer: Callable[[Any], T]
    body: Any = None
    query: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True  # sending it twice does no more than sending it once
    waits: bool = False  # the answer comes when an invocation has ended

    def content(self) -> bytes | None:
        """Return the body as JSON; InvalidRequest where JSON cannot carry it."""
        if self.body is None:
            return None
        try:
            return json.dumps(self.body, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError) as error:
            raise errors.InvalidRequest(f"the request cannot be written as JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, read to the end."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    content: bytes
    through: str | None = None  # the proxy, where there was one, in words


@dataclass(frozen=True, slots=True)
class Fault:
    """A reply that did not come. `sent` is False where the request surely never left."""

    detail: str
    sent: bool
    waited_too_long: bool = False


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """The call is done."""

    value: T


@dataclass(frozen=True, slots=True)
class Again:
    """Send the call again after so many seconds."""

    seconds: float


def parse(kind: Any, body: Any) -> Any:
    """Read a record from an answer. Fields that this client does not know yet are ignored."""
    try:
        return TypeAdapter(kind).validate_python(body, extra="ignore")
    except ValidationError as error:
        raise QuickthawError(
            f"the gateway's answer does not fit this client ({_first(error)}); are their versions the same?",
            code="bad_reply",
        ) from error


def _first(error: ValidationError) -> str:
    detail = error.errors()[0]
    return f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"


def error_of(reply: Reply) -> QuickthawError:
    """Rebuild the error that a reply carries."""
    try:
        body = json.loads(reply.content)["error"]
        error = errors.from_json(body, reply.status)
    except (ValueError, KeyError, TypeError, AttributeError):
        text = reply.content[:200].decode(errors="replace").strip()
        came = f", {reply.through}" if reply.through else ""
        message = f"HTTP {reply.status} without an error object{came}; is this a quickthaw gateway? It said: {text!r}"
        error = errors.from_json({"message": message}, reply.status)
    if error.retry_after_seconds is None:
        error.retry_after_seconds = _retry_after(reply.headers)
    return error


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):  # absent, or a date, which our gateway never sends
        return None


@dataclass(slots=True)
class Reach:
    """What a client has found out about its gateway, over all its calls."""

    answered: bool = False  # it has been there: one that refuses connections may be restarting


class Attempts:
    """Counts failures in a row and says when the next attempt is due, or raises."""

    def __init__(
        self, endpoint: Endpoint, backoff: Backoff, reach: Reach, draw: Callable[[], float] = random.random
    ) -> None:
        self._endpoint = endpoint
        self._backoff = backoff
        self._reach = reach
        self._draw = draw
        self._failures = 0

    def reached(self) -> None:
        """A gateway has answered: from now on one that refuses connections may be restarting."""
        self._reach.answered = True

    def progressed(self) -> None:
        """Something new came: begin to count anew."""
        self._failures = 0

    def refused(self, reply: Reply, *, repeatable: bool) -> float:
        """Return the seconds to the next attempt after an error reply; raise the error where there is none."""
        error = error_of(reply)
        self.reached()
        if reply.status == 401 and self._endpoint.api_key is None:
            raise errors.AuthenticationFailed(
                f"no API key is known for {self._endpoint.url}: set QUICKTHAW_API_KEY, or give one (`--api-key`); "
                "a key in client.toml goes only to the URL that stands beside it"
            )
        # An error with an invocation's id is how that invocation ended: the same key would be told the same again.
        final = INVOCATION_HEADER in reply.headers or reply.headers.get("x-should-retry") == "false"
        if final or not repeatable or reply.status not in RETRIED_STATUS:
            raise error
        return self._wait(error, error.retry_after_seconds)

    def failed(self, fault: Fault, *, repeatable: bool) -> float:
        """Return the seconds to the next attempt after a fault of the connection; raise where there is none."""
        if fault.waited_too_long:
            raise TimedOut(f"{self._endpoint.url} gave no answer in time ({fault.detail})", code="client_timeout")
        error = unreachable(self._endpoint, fault)
        if fault.sent:
            self.reached()
        if not self._reach.answered or (fault.sent and not repeatable):
            raise error
        return self._wait(error, None)

    def _wait(self, error: QuickthawError, retry_after: float | None) -> float:
        self._failures += 1
        seconds = self._backoff.seconds(self._failures, self._draw(), retry_after)
        if seconds is None:
            raise error
        return seconds


def unreachable(endpoint: Endpoint, fault: Fault) -> Unreachable:
    """Say which URL was tried, where it came from and what to do."""
    where = f"{endpoint.url} (from {endpoint.source})"
    if fault.sent:
        return Unreachable(f"the connection to {where} broke: {fault.detail}")
    return Unreachable(
        f"no gateway answers at {where}: {fault.detail}. Start one with `quickthaw up`, or set QUICKTHAW_URL"
    )


class Exchange(Generic[T]):
    """One call, from the first attempt to its answer."""

    def __init__(self, call: Call[T], attempts: Attempts) -> None:
        self.call = call
        self._attempts = attempts

    def replied(self, reply: Reply) -> Answer[T] | Again:
        """Read a reply: the answer, or when to ask again; raises the error that it carries."""
        if reply.status >= 300:
            return Again(self._attempts.refused(reply, repeatable=self.call.repeatable))
        self._attempts.reached()
        try:
            body = json.loads(reply.content)
        except ValueError as error:
            came = f" ({reply.through})" if reply.through else ""
            raise QuickthawError(f"the gateway's answer is not JSON: {error}{came}", code="bad_reply") from error
        return Answer(self.call.answer(body))

    def failed(self, fault: Fault) -> Again:
        """Say when to ask again after a broken connection, or raise."""
        return Again(self._attempts.failed(fault, repeatable=self.call.repeatable))
