"""A batch loop that can compute nothing any more says so before it tells its requests."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from typing import Any

import pytest

from quickthaw.errors import FunctionFailed
from quickthaw.generation import Sampling
from quickthaw_backends.engines.answers import Answers
from quickthaw_backends.engines.batching.loop import BatchLoop
from quickthaw_backends.engines.batching.runner import Chunk, Scores
from quickthaw_backends.engines.batching.scheduler import Budget
from quickthaw_backends.engines.batching.sequence import Sequence as Running
from quickthaw_backends.engines.echo_engine import EchoEngine
from quickthaw_platform import plugins
from quickthaw_platform.contracts import GenerationRequest, TellsOfFailure
from tests.unit.engines.test_guessing_loop import VOCABULARY, Counting, Letters


class OutOfMemory(Counting):
    """A model whose steps find no memory."""

    def __init__(self) -> None:
        super().__init__(float)

    def run(self, chunks: Sequence[Chunk]) -> list[Scores | Exception]:
        raise MemoryError("no room for a step")


def test_it_is_told_before_the_requests_are_and_nothing_more_is_taken() -> None:
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    texts = Letters()
    answers = Answers(texts, frozenset({VOCABULARY - 1}), VOCABULARY, lambda: pytest.fail("there is no grammar"))
    request = GenerationRequest("a", (0, 1), Sampling(temperature=0, max_tokens=4, seed=0))
    loop = BatchLoop(OutOfMemory(), Budget(4096, 8, 64, 512), texts, kv_token_bytes=1, context_tokens=4096)
    loop.on_failed = lambda error: told.put(("engine", error))
    loop.submit(Running.of(request, lambda item: told.put(("request", item)), None, answers=answers, context_tokens=64))
    (first, failed), (second, outcome) = told.get(timeout=60), told.get(timeout=60)
    assert (first, second) == ("engine", "request")
    assert failed is outcome
    with pytest.raises(FunctionFailed, match="no room for a step"):
        loop.submit(Running.of(request, told.put, None, answers=answers, context_tokens=64))
    loop.close()


@pytest.mark.parametrize("name", ["echo", "llamacpp", "transformers", "vllm"])
def test_every_engine_of_ours_tells(name: str) -> None:
    assert isinstance(plugins.engine_class(name)(), TellsOfFailure)


def test_whoever_asks_nothing_is_told_nothing() -> None:
    EchoEngine().on_failed(FunctionFailed("it broke"))
