"""What a function of the platform says of a text: how likely each token is, how many there are, how long it takes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tokenizers import Tokenizer

from benchmarks.client import Target

ANSWER_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Nats of the answer, and its tokens."""

    nats: float
    tokens: int


class Asker:
    """Asks one function over HTTP."""

    def __init__(self, target: Target, function: str, tokenizer: Path) -> None:
        """`tokenizer` is the model's `tokenizer.json`."""
        self._http = httpx.Client(base_url=target.url, headers=dict(target.headers), timeout=ANSWER_SECONDS)
        self._function = function
        self._tokenizer = Tokenizer.from_file(str(tokenizer))

    def count(self, text: str) -> int:
        """Return how many tokens a text has for the model."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def scores(self, text: str) -> list[tuple[str, float | None]]:
        """Return the tokens of a text with their log-probabilities."""
        told = self._complete(text, max_tokens=0, echo=True, logprobs=0)["choices"][0]["logprobs"]
        return list(zip(told["tokens"], told["token_logprobs"], strict=True))

    def likelihood(self, prompt: str, answer: str) -> Answer:
        """Return how likely an answer is after a prompt: the tokens that begin behind it count."""
        place, nats, tokens = 0, 0.0, 0
        for text, logprob in self.scores(prompt + answer):
            if place >= len(prompt):
                nats, tokens = nats - (logprob or 0.0), tokens + 1
            place += len(text)
        return Answer(nats, tokens)

    def seconds(self, prompt: str) -> float:
        """Return how long the first token takes."""
        began = time.perf_counter()
        self._complete(prompt, max_tokens=1, temperature=0)
        return time.perf_counter() - began

    def _complete(self, prompt: str, **fields: Any) -> dict[str, Any]:
        answer = self._http.post("/v1/completions", json={"model": self._function, "prompt": prompt, **fields})
        if answer.is_error:
            raise RuntimeError(f"{self._function} answered {answer.status_code}: {answer.text}")
        found: dict[str, Any] = answer.json()
        return found
