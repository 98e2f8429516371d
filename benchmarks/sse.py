"""Reads an OpenAI-compatible event stream line by line, keeping when each piece of text arrived. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from benchmarks.stats import gaps

_DATA = b"data:"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A piece of text and when it came (seconds of the monotonic clock)."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Stream:
    """One request as its client saw it. `done`: `[DONE]` came.

    `tokens` and `cached`: how many the answer has, and how many of the prompt's the server did not compute, if it said.
    `finish_reason`: why the answer ended, as the server put it.
    """

    sent: float
    ended: float
    arrivals: tuple[Arrival, ...]
    done: bool
    tokens: int | None = None
    error: str | None = None
    cached: int | None = None
    finish_reason: str | None = None

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(arrival.text for arrival in self.arrivals)

    @property
    def complete(self) -> bool:
        """Whether the answer ended as it should."""
        return self.done and self.error is None

    @property
    def first_token_seconds(self) -> float:
        """From sending to the first text."""
        if not self.arrivals:
            raise ValueError(f"no text came: {self.error or 'the stream was empty'}")
        return self.arrivals[0].at - self.sent

    @property
    def total_seconds(self) -> float:
        """From sending to the end of the stream."""
        return self.ended - self.sent

    @property
    def seconds_per_token(self) -> float:
        """From the first text to the last, over the tokens behind the first. ValueError where there are none."""
        if not self.arrivals or self.tokens is None or self.tokens < 2:
            raise ValueError(f"{self.tokens} tokens have no time for each further one")
        return (self.arrivals[-1].at - self.arrivals[0].at) / (self.tokens - 1)

    @property
    def gaps(self) -> list[float]:
        """Seconds between neighbouring pieces of text."""
        return gaps(arrival.at for arrival in self.arrivals)


@dataclass(slots=True)
class StreamReader:
    """Collects the lines of one answer. Pieces without text (the role, the end) are not arrivals."""

    sent: float
    arrivals: list[Arrival] = field(default_factory=list)
    done: bool = False
    tokens: int | None = None
    error: str | None = None
    cached: int | None = None
    finish_reason: str | None = None

    def feed(self, line: bytes, at: float) -> None:
        """Take one line (its end may be missing) that came at `at`; all but `data:` lines are ignored."""
        if not line.startswith(_DATA):
            return
        data = line[len(_DATA) :].strip()
        if data == b"[DONE]":
            self.done = True
            return
        self._take(json.loads(data), at)

    def close(self, at: float) -> Stream:
        """Return what was collected, once the connection has ended."""
        said = (self.done, self.tokens, self.error, self.cached, self.finish_reason)
        return Stream(self.sent, at, tuple(self.arrivals), *said)

    def _take(self, chunk: dict[str, Any], at: float) -> None:
        if "error" in chunk:
            self.error = json.dumps(chunk["error"])
        if usage := chunk.get("usage"):
            self.tokens = usage["completion_tokens"]
            self.cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        for choice in chunk.get("choices", ()):
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            text = choice.get("text") or (choice.get("delta") or {}).get("content")
            if text:
                self.arrivals.append(Arrival(at, text))
