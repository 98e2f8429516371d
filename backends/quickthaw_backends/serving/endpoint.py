"""Endpoint: any OpenAI-compatible server, so that anything can stand beside us; a command may start and end it."""

from __future__ import annotations

import json
import time
from typing import Any, ClassVar

import httpx

from quickthaw import proxies
from quickthaw.errors import InvalidRequest, StartFailed
from quickthaw.resources import UsageRow
from quickthaw.types import FunctionSpec
from quickthaw_backends.serving.server_command import ServerCommand
from quickthaw_platform.serving import Deployment, Endpoint, Load

POLL_SECONDS = 0.02
START_SECONDS = 300.0
ANSWER_SECONDS = 60.0
OPTIONS = ("command",)
LOADING = (502, 503, 504)
"""What servers answer, and proxies for them, while they load."""

EXCERPT_BYTES = 300
STARTING = "starting/command"
RUNNING = "always-on"
"""The phases of its time: from outside nobody knows when it computes."""


class EndpointBackend:
    """Implements `ServingBackend`. The option `command` starts the server; without it the server must be there."""

    name: ClassVar[str] = "endpoint"
    starts_on_demand: ClassVar[bool] = False
    keeps_idle: ClassVar[bool] = True

    def __init__(self, deployment: Deployment) -> None:
        if deployment.endpoint is None:
            raise InvalidRequest("the backend 'endpoint' needs the URL of a server", param="backend")
        unknown = sorted(set(deployment.options) - set(OPTIONS))
        if unknown:
            raise InvalidRequest(f"the backend 'endpoint' has no option {unknown[0]!r}; it has: {', '.join(OPTIONS)}")
        self._endpoint = deployment.endpoint
        self._command = deployment.options.get("command")
        self._server: ServerCommand | None = None
        self._began: float | None = None
        self._up_at: float | None = None
        self._sampled_at = 0.0
        self._before = dict.fromkeys((STARTING, RUNNING), 0.0)  # seconds of former lives
        self._memory_byte_seconds = 0.0

    @classmethod
    def settle(cls, spec: FunctionSpec) -> FunctionSpec:
        """Refuse: the platform does not run it."""
        raise InvalidRequest(
            f"backend: {spec.backend!r} runs elsewhere and cannot be deployed; name it to `quickthaw compare`",
            param="backend",
        )

    def up(self) -> Endpoint:
        """Start the command, if there is one, and wait until the server has generated a token."""
        if self._began is None:
            self._began = self._sampled_at = time.monotonic()
            if self._command is not None:
                self._server = ServerCommand(self._command)
            try:
                self._wait_for_a_token(self._began)
            except StartFailed:
                self.down()
                raise
            self._up_at = time.monotonic()
        return self._endpoint

    def load(self) -> Load:
        """Take a sample of its memory; more cannot be seen from outside."""
        self._sample()
        return Load(ready=int(self._up_at is not None and self.failure() is None))

    def failure(self) -> str | None:
        """Return how the server that we started has ended, if it has."""
        if self._server is None or not self._server.ended:
            return None
        return f"the server of {self._endpoint.url} has ended by itself; it wrote: {self._server.tail()}"

    def usage(self) -> list[UsageRow]:
        """Return how long it has started and stood, and the memory of a server that we started."""
        self._sample()
        seconds = dict(self._before)
        if self._began is not None:
            now = time.monotonic()
            up_at = now if self._up_at is None else self._up_at
            seconds[STARTING] += up_at - self._began
            seconds[RUNNING] += now - up_at
        rows = [UsageRow(backend=self.name, phase=phase, seconds=found) for phase, found in seconds.items()]
        return [*rows, UsageRow(backend=self.name, phase="", memory_byte_seconds=self._memory_byte_seconds)]

    def down(self) -> None:
        """End the server if we started it."""
        for row in self.usage():
            if row.phase:
                self._before[row.phase] = row.seconds
        self._began = self._up_at = None
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _sample(self) -> None:
        now = time.monotonic()
        if self._server is not None and not self._server.ended:
            self._memory_byte_seconds += self._server.resident_bytes() * (now - self._sampled_at)
        self._sampled_at = now

    def _wait_for_a_token(self, since: float) -> None:
        headers = dict(self._endpoint.headers)
        with httpx.Client(headers=headers, timeout=ANSWER_SECONDS, transport=proxies.Transport()) as client:
            while True:
                try:
                    _first_token(client, self._endpoint)
                except _NotYet as error:
                    self._give_up_where_it_is_no_use(error, since)
                    time.sleep(POLL_SECONDS)
                else:
                    return

    def _give_up_where_it_is_no_use(self, error: _NotYet, since: float) -> None:
        if self._server is None:
            raise StartFailed(f"the endpoint {self._endpoint.url} does not serve: {error}") from error
        if self._server.ended:
            said = self._server.tail()
            raise StartFailed(f"the command of {self._endpoint.url} has ended; it wrote:\n{said}") from error
        if time.monotonic() - since > START_SECONDS:
            raise StartFailed(f"{self._endpoint.url} is not up after {START_SECONDS:g} s: {error}") from error


class _NotYet(Exception):
    """The server does not serve, but may be about to."""


def _first_token(client: httpx.Client, endpoint: Endpoint) -> None:
    """Ask for one token. _NotYet where the server is loading; StartFailed where it is none that speaks OpenAI's API."""
    body = {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    try:
        with client.stream("POST", f"{endpoint.url}/v1/chat/completions", json=body) as answer:
            if answer.status_code in LOADING:
                raise _NotYet(f"it answers {answer.status_code}")
            if answer.is_error:
                said = answer.read()[:EXCERPT_BYTES].decode(errors="replace")
                raise StartFailed(f"{endpoint.url} refuses a chat completion with {answer.status_code}: {said}")
            _check(endpoint, answer)
    except httpx.TransportError as error:
        raise _NotYet(f"{type(error).__name__}: {error}") from error


def _check(endpoint: Endpoint, answer: httpx.Response) -> None:
    """Read up to the first chunk with a choice."""
    line = ""
    for line in filter(None, answer.iter_lines()):
        if line.startswith("data:") and _has_choice(line.removeprefix("data:")):
            return
        if not line.startswith((":", "data:", "event:", "id:")):
            break
    kind = answer.headers.get("content-type", "nothing")
    raise StartFailed(
        f"{endpoint.url} is not an OpenAI-compatible server: it answers a streamed chat completion with {kind} and no "
        f"chunk that has a choice in it ({line[:EXCERPT_BYTES]!r}); give the URL up to and without /v1"
    )


def _has_choice(data: str) -> bool:
    try:
        found: Any = json.loads(data)
        return bool(found["choices"][0])
    except (json.JSONDecodeError, KeyError, IndexError, TypeError):
        return False
