"""An engine that can compute nothing any more says so: one whose loop ended, and one that fails whatever is asked."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from typing import Any

import pytest

from quickthaw.errors import FunctionFailed, InvalidRequest
from quickthaw.generation import Sampling
from quickthaw_backends.engines.answers import Answers
from quickthaw_backends.engines.batching.loop import BatchLoop
from quickthaw_backends.engines.batching.runner import Chunk, Scores
from quickthaw_backends.engines.batching.scheduler import Budget
from quickthaw_backends.engines.batching.sequence import Sequence as Running
from quickthaw_backends.engines.echo_engine import EchoEngine
from quickthaw_backends.engines.failure import MOST_FAILURES
from quickthaw_backends.engines.transformers_engine import TransformersEngine
from quickthaw_platform import plugins
from quickthaw_platform.contracts import GenerationRequest, TellsOfFailure
from tests.unit.engines.test_guessing_loop import VOCABULARY, Counting, Letters


class OutOfMemory(Counting):
    """A model whose steps find no memory."""

    def __init__(self) -> None:
        super().__init__(float)

    def run(self, chunks: Sequence[Chunk]) -> list[Scores | Exception]:
        raise MemoryError("no room for a step")


class Device(Counting):
    """A model that fails requests which begin with one of the `faulty` tokens."""

    def __init__(self, *faulty: int) -> None:
        super().__init__(float)
        self.faulty = faulty

    def run(self, chunks: Sequence[Chunk]) -> list[Scores | Exception]:
        found = super().run(chunks)
        return [
            RuntimeError("device-side assert") if chunk.tokens[0] in self.faulty else scores
            for chunk, scores in zip(chunks, found, strict=True)
        ]


class Failing:
    """A loop over a model; what the engine and its requests are told is in `told`, in order."""

    def __init__(self, model: Counting) -> None:
        self.told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._texts = Letters()
        self.loop = BatchLoop(model, Budget(4096, 8, 64, 512), self._texts, kv_token_bytes=1, context_tokens=4096)
        self.loop.on_failed = lambda error: self.told.put(("engine", error))

    def submit(self, name: str, first: int = 0) -> None:
        end = frozenset({VOCABULARY - 1})
        answers = Answers(self._texts, end, VOCABULARY, lambda: pytest.fail("there is no grammar"))
        request = GenerationRequest(name, (first, 1), Sampling(temperature=0, max_tokens=1, seed=0))
        sequence = Running.of(
            request, lambda item: self.told.put((name, item)), None, answers=answers, context_tokens=64
        )
        self.loop.submit(sequence)

    def heard(self) -> tuple[str, Any]:
        return self.told.get(timeout=60)


def test_it_is_told_before_the_requests_are_and_nothing_more_is_taken() -> None:
    failing = Failing(OutOfMemory())
    failing.submit("a")
    (first, failed), (second, outcome) = failing.heard(), failing.heard()
    assert (first, second) == ("engine", "a")
    assert failed is outcome
    with pytest.raises(FunctionFailed, match="no room for a step"):
        failing.submit("b")
    failing.loop.close()


def test_an_engine_that_fails_whatever_is_asked_is_broken() -> None:
    failing = Failing(Device(0))
    for number in range(MOST_FAILURES):
        failing.submit(f"r{number}")
        name, error = failing.heard()
        assert name == f"r{number}"
        assert "device-side assert" in error.message
    name, error = failing.heard()
    assert name == "engine"
    assert error.message == (
        f"the engine failed: {MOST_FAILURES} computations in a row, the last with RuntimeError: device-side assert"
    )
    with pytest.raises(FunctionFailed, match="computations in a row"):
        failing.submit("later")
    failing.loop.close()


def test_requests_that_fail_by_themselves_break_nothing_while_others_are_served() -> None:
    failing = Failing(Device(7))
    for number in range(3 * MOST_FAILURES):
        served = number % MOST_FAILURES == MOST_FAILURES - 1
        failing.submit(f"r{number}", 0 if served else 7)
        _, outcome = failing.heard()
        assert isinstance(outcome, FunctionFailed) != served
    failing.loop.close()
    assert failing.told.empty()


def test_an_engine_that_embeds_counts_its_failures_too_and_not_those_of_bad_requests() -> None:
    told: list[Any] = []
    engine = TransformersEngine()
    engine.on_failed = told.append
    raised: list[Exception] = []

    class Embedder:
        def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
            if raised:
                raise raised[0]
            return [[1.0] for _ in batch]

    engine._embedder = Embedder()  # type: ignore[assignment]
    for error, times in ((InvalidRequest("too long"), MOST_FAILURES), (RuntimeError("assert"), MOST_FAILURES - 1)):
        raised[:] = [error]
        for _ in range(times):
            with pytest.raises(type(error)):
                engine.embed([[1]])
    raised.clear()
    assert engine.embed([[1]]) == [[1.0]]
    assert not told
    raised.append(RuntimeError("assert"))
    for _ in range(MOST_FAILURES):
        with pytest.raises(RuntimeError):
            engine.embed([[1]])
    assert [error.message for error in told] == [
        f"the engine failed: {MOST_FAILURES} computations in a row, the last with RuntimeError: assert"
    ]


@pytest.mark.parametrize("name", ["echo", "llamacpp", "transformers", "vllm"])
def test_every_engine_of_ours_tells(name: str) -> None:
    assert isinstance(plugins.engine_class(name)(), TellsOfFailure)


def test_whoever_asks_nothing_is_told_nothing() -> None:
    EchoEngine().on_failed(FunctionFailed("it broke"))
