"""The batch loop guesses where that makes its steps give more tokens a second, by the clock that it reads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quickthaw.errors import QuickthawError
from quickthaw.generation import Delta, Sampling
from quickthaw_backends.engines.answers import Answers
from quickthaw_backends.engines.batching import loop as loop_module
from quickthaw_backends.engines.batching.loop import BatchLoop
from quickthaw_backends.engines.batching.runner import CacheSharing, Chunk, Scores
from quickthaw_backends.engines.batching.scheduler import Budget
from quickthaw_backends.engines.batching.sequence import Sequence as Running
from quickthaw_platform.contracts import GenerationRequest

VOCABULARY = 10
CYCLE = 5
TOKENS = 400


class Letters:
    """Shows each token as a letter."""

    def text_of(self, token: int) -> str:
        return chr(ord("a") + token)

    def bytes_of(self, token: int) -> bytes:
        return self.text_of(token).encode()

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(map(self.text_of, tokens))

    def marks_in(self, text: str) -> dict[int, str]:
        return {}


class Sharing:
    """Caches are nothing, so each can be cut."""

    copies = True

    def store(self, cache: Any) -> Any:
        return cache

    def fork(self, kept: Any, tokens: int) -> Any:
        return kept

    def cut(self, cache: Any, tokens: int) -> None:
        """Do nothing."""


class Counting:
    """A model that counts to five again and again, on a processor of which each step takes `seconds(tokens)`."""

    chunked = True
    speculates = True
    sharing: CacheSharing | None = Sharing()

    def __init__(self, seconds: Callable[[int], float]) -> None:
        self._seconds = seconds
        self.clock = 0.0
        self.steps: list[int] = []  # tokens of each

    def new_cache(self) -> object:
        return object()

    def reserve(self, cache: Any, tokens: int) -> None:
        """Do nothing."""

    def drop(self, cache: Any) -> None:
        """Do nothing."""

    def run(self, chunks: Sequence[Chunk]) -> list[Scores | Exception]:
        computed = sum(len(chunk.tokens) for chunk in chunks)
        self.steps.append(computed)
        self.clock += self._seconds(computed)
        return [_scores(chunk) for chunk in chunks]


def _scores(chunk: Chunk) -> Scores:
    rows = np.zeros((chunk.rows, VOCABULARY), dtype=np.float32)
    for row, token in enumerate(chunk.tokens[len(chunk.tokens) - chunk.rows :]):
        rows[row, (token + 1) % CYCLE] = 1.0
    return rows


def served(monkeypatch: pytest.MonkeyPatch, seconds: Callable[[int], float]) -> Counting:
    """Return the model after an answer of TOKENS tokens, each as it should be."""
    model = Counting(seconds)
    monkeypatch.setattr(loop_module, "time", SimpleNamespace(perf_counter=lambda: model.clock))
    texts, ended, found = Letters(), threading.Event(), list[int]()

    def sink(item: Delta | QuickthawError) -> None:
        if isinstance(item, Delta):
            found.extend(item.tokens)
        if not isinstance(item, Delta) or item.finish_reason is not None:
            ended.set()

    loop = BatchLoop(model, Budget(4096, 8, 64, 512), texts, kv_token_bytes=1, context_tokens=4096)
    request = GenerationRequest("a", (0, 1), Sampling(temperature=0, max_tokens=TOKENS, seed=0, ignore_eos=True))
    answers = Answers(texts, frozenset({VOCABULARY - 1}), VOCABULARY, lambda: pytest.fail("there is no grammar"))
    loop.submit(Running.of(request, sink, None, answers=answers, context_tokens=4096))
    assert ended.wait(60)
    loop.close()
    assert found == [(2 + number) % CYCLE for number in range(TOKENS)]
    return model


def test_where_more_tokens_take_hardly_longer_an_answer_that_repeats_itself_takes_a_few_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = served(monkeypatch, lambda tokens: 1.0 + 0.01 * tokens)
    assert len(model.steps) < TOKENS / 4


def test_where_each_token_takes_as_long_nearly_nothing_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = served(monkeypatch, lambda tokens: 1.0 * tokens)
    assert len(model.steps) > 0.9 * TOKENS


def test_it_changes_its_mind_when_steps_take_another_time(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0

    def seconds(tokens: int) -> float:
        nonlocal steps
        steps += 1
        return 1.0 + 0.01 * tokens if steps <= 20 else 1.0 * tokens

    model = served(monkeypatch, seconds)
    assert max(model.steps[5:20]) > 1
    assert sum(model.steps[-100:]) < 110
