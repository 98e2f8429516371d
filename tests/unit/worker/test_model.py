"""A bound model: whose word counts in sampling, seeds, several answers, and being stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from quickthaw.errors import ContextLengthExceeded
from quickthaw_backends.engines.echo_engine import EchoEngine
from quickthaw_platform.contracts import Checkpoint, Engine, GenerationRequest, Sink
from quickthaw_platform.worker.model import BoundModel, request_seed
from quickthaw_platform.worker.replay import Stopped


class Recording(EchoEngine):
    """The echo engine, noting what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[GenerationRequest] = []

    def submit(self, request: GenerationRequest, sink: Sink) -> None:
        self.requests.append(request)
        super().submit(request, sink)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Recording]:
    made = Recording()
    made.prepare(Checkpoint("c", Path("/"), {}), getattr(request, "param", {}), lambda _name, _seconds: None)
    made.start("cpu", 1, 1 << 20)
    yield made
    made.close()


def bind(engine: Recording, **arguments: Any) -> BoundModel:
    return BoundModel(cast("Engine", engine), "i", **arguments)


def test_several_answers_are_several_requests_with_seeds_in_order(engine: Recording) -> None:
    model = bind(engine, seed=7)
    deltas = list(model.complete("ab", n=3))
    assert [(r.sampling.seed, r.choice, r.sampling.n) for r in engine.requests] == [(7, 0, 1), (8, 1, 1), (9, 2, 1)]
    texts = ["".join(d.text for d in deltas if d.choice == choice) for choice in range(3)]
    assert texts == ["ab", "ab", "ab"]
    assert model.usage.prompt_tokens == 2
    assert model.usage.completion_tokens == 9


def test_a_second_generation_draws_differently_unless_the_handler_names_the_seed(engine: Recording) -> None:
    model = bind(engine, seed=7, requested={"seed": 7})
    for seed in (None, None, 5, 5):
        list(model.complete("a", seed=seed))
    seeds = [r.sampling.seed for r in engine.requests]
    assert seeds == [7, request_seed(7, 1, 0), 5, 5]
    assert seeds[1] != 7


def test_what_is_wrong_is_raised_where_the_handler_asks(engine: Recording) -> None:
    with pytest.raises(ContextLengthExceeded):
        bind(engine, seed=0).complete("x" * 10_000)


@pytest.mark.parametrize("engine", [{"token_delay": "1h"}], indirect=True)
def test_stopping_ends_running_and_future_generations(engine: Recording) -> None:
    model = bind(engine, seed=0)
    deltas = model.complete("abc")
    next(deltas)
    model.stop()
    with pytest.raises(Stopped):
        next(deltas)
    with pytest.raises(Stopped):
        model.complete("abc")
    assert engine.stats().running == 0


@pytest.mark.parametrize("engine", [{"token_delay": "1h"}], indirect=True)
def test_a_handler_that_stops_listening_frees_its_place_in_the_batch(engine: Recording) -> None:
    for _ in bind(engine, seed=0).complete("abc"):
        break
    assert engine.stats().running == 0


def test_embedding_counts_its_tokens(engine: Recording) -> None:
    model = bind(engine, seed=0)
    assert len(model.embed(["a", "bc"])) == 2
    assert len(model.embed("abc")) == 1
    assert model.usage.prompt_tokens == 6
    assert model.count_tokens("abcd") == 4
