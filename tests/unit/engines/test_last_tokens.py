"""The last tokens of requests that end together are sent before anything is kept of what they have computed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from quickthaw.errors import QuickthawError
from quickthaw.generation import Delta, Sampling
from quickthaw_backends.engines.answers import Answers
from quickthaw_backends.engines.batching.loop import BatchLoop
from quickthaw_backends.engines.batching.prefixes import LEAST_TOKENS
from quickthaw_backends.engines.batching.runner import Chunk, Scores
from quickthaw_backends.engines.batching.scheduler import Budget
from quickthaw_backends.engines.batching.sequence import Sequence as Running
from quickthaw_platform.contracts import GenerationRequest
from tests.unit.engines.test_guessing_loop import CYCLE, VOCABULARY, Counting, Letters, Sharing


class Keeping(Sharing):
    """Tells of each copy."""

    def __init__(self, told: queue.SimpleQueue[str]) -> None:
        self._told = told

    def store(self, cache: Any) -> Any:
        self._told.put("kept")
        return cache


class Together(Counting):
    """A model that computes nothing before all requests are there."""

    def __init__(self, told: queue.SimpleQueue[str]) -> None:
        super().__init__(float)
        self.sharing = Keeping(told)
        self.speculates = False
        self.all_there = threading.Event()

    def run(self, chunks: Sequence[Chunk]) -> list[Scores | Exception]:
        assert self.all_there.wait(60)
        return super().run(chunks)


def test_they_are_sent_first() -> None:
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    model, texts = Together(told), Letters()
    answers = Answers(texts, frozenset({VOCABULARY - 1}), VOCABULARY, lambda: pytest.fail("there is no grammar"))
    loop = BatchLoop(model, Budget(4096, 8, 64, 512), texts, kv_token_bytes=1, context_tokens=4096)

    def said(item: Delta | QuickthawError) -> None:
        if isinstance(item, QuickthawError) or item.finish_reason is not None:
            told.put("ended")

    def submit(name: str, prompt: Sequence[int]) -> None:
        sampling = Sampling(temperature=0, max_tokens=4, seed=0, ignore_eos=True)
        request = GenerationRequest(name, tuple(prompt), sampling)
        loop.submit(Running.of(request, said, None, answers=answers, context_tokens=4096))

    submit("too short to be kept, and computed alone until the others are there", [0, 1])
    for first in range(3):
        submit(f"beginning with {first}", [(first + number) % CYCLE for number in range(LEAST_TOKENS + 4)])
    model.all_there.set()
    heard = [told.get(timeout=60) for _ in range(7)]
    loop.close()
    assert heard == ["ended"] + ["ended"] * 3 + ["kept"] * 3
