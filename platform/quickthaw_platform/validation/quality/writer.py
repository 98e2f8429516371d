"""Asks a server to continue texts: `/v1/completions`, greedily, several at a time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from quickthaw.errors import Unreachable
from quickthaw.protocol import Reply, error_of
from quickthaw.proxies import proxy_for
from quickthaw_platform.errors import (
    QueueFull,
    QuickthawError,
    RateLimited,
    TimedOut,
    Unavailable,
    UnusableAnswer,
)
from quickthaw_platform.traffic.target import Target
from quickthaw_platform.traffic.transport import UnboundedTransport
from quickthaw_platform.validation.quality.answers import Answers
from quickthaw_platform.validation.quality.passages import Passage

PATH = "/v1/completions"
ANSWER_SECONDS = 1800.0
"""How long an answer may take: a start and a queue are part of it."""

TOKENS_A_WORD = 2
"""Tokens asked for each word of the reference: English takes some 1.3; what is beyond the reference is cut off."""

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 15.0
ATTEMPTS = 12


@dataclass(frozen=True, slots=True)
class Writer:
    """Continues passages with one model. `target.path` is `/v1/completions`; `sleep` waits between attempts."""

    target: Target
    seed: int
    parallel: int = 8
    progress: Callable[[int], None] = lambda done: None  # noqa: ARG005  (hears how many passages are done)
    transport: httpx.AsyncBaseTransport | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    async def run(self, passages: Sequence[Passage], answers: Answers) -> float:
        """Continue what the answers lack; return the seconds that all runs took. Raises the first lasting error."""
        began, before = self.clock(), answers.seconds
        queue = iter([number for number in range(len(passages)) if number not in answers.texts])
        self.progress(len(answers.texts))
        async with self._client() as http:

            async def work() -> None:
                for number in queue:
                    text = await self._patiently(http, passages[number])
                    answers.add(number, text, before + self.clock() - began)
                    self.progress(len(answers.texts))

            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self.parallel):
                        group.create_task(work())
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None
        return before + self.clock() - began

    def _client(self) -> httpx.AsyncClient:
        transport = self.transport or UnboundedTransport(proxy_for(self.target.address))
        headers = {name: value for name, value in self.target.all_headers().items() if name != "Accept"}
        return httpx.AsyncClient(headers=headers, transport=transport, timeout=ANSWER_SECONDS)

    async def _patiently(self, http: httpx.AsyncClient, passage: Passage) -> str:
        """Ask again while the platform is at fault: a worker that died, a gateway that restarts, a full queue."""
        wait = FIRST_WAIT_SECONDS
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._ask(http, passage)
            except (Unavailable, QueueFull, RateLimited, TimedOut) as error:
                await self.sleep(_wait_of(error, wait))
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        return await self._ask(http, passage)

    async def _ask(self, http: httpx.AsyncClient, passage: Passage) -> str:
        body = {
            "model": self.target.model, "prompt": passage.prompt, "temperature": 0, "seed": self.seed,
            "max_tokens": TOKENS_A_WORD * len(passage.reference.split()), **self.target.extra,
        }  # fmt: skip
        try:
            response = await http.post(self.target.address, content=json.dumps(body))
        except httpx.TransportError as error:
            detail = str(error) or type(error).__name__
            raise Unreachable(f"{self.target.address} does not answer: {detail}") from error
        if not response.is_success:
            raise error_of(Reply(response.status_code, response.headers, response.content))
        return text_of(response.content)


def text_of(content: bytes) -> str:
    """Return the text of a completion; UnusableAnswer where it is none."""
    try:
        text: Any = json.loads(content)["choices"][0]["text"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UnusableAnswer(f"the answer is no completion: {content[:100]!r}") from error
    if not isinstance(text, str):
        raise UnusableAnswer(f"the answer's text is {text!r}")
    return text


def _wait_of(error: QuickthawError, usual: float) -> float:
    return usual if error.retry_after_seconds is None else min(error.retry_after_seconds, LONGEST_WAIT_SECONDS)
