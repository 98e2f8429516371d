"""A bound model: whose word counts in sampling, seeds, several answers, and being stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from quickthaw.errors import ContextLengthExceeded, InvalidRequest
from quickthaw.generation import ChatOptions, Sampling, Structure
from quickthaw_backends.engines.echo_engine import EchoEngine
from quickthaw_backends.engines.echo_tokenizer import EchoTokenizer
from quickthaw_platform.contracts import Checkpoint, Engine, GenerationRequest, Prompt, Reading, Sink
from quickthaw_platform.worker.bounds import Bounds
from quickthaw_platform.worker.model import BoundModel, request_seed
from quickthaw_platform.worker.replay import Stopped, prompt_digest


class Recording(EchoEngine):
    """The echo engine, noting what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[GenerationRequest] = []

    def submit(self, request: GenerationRequest, sink: Sink) -> None:
        self.requests.append(request)
        if request.reading is not READING:
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


@pytest.mark.parametrize(
    ("requested", "explicit", "length"),
    [
        ({}, {}, 3),  # nobody names a number: the function's default
        ({"max_tokens": 4}, {}, 4),
        ({"max_tokens": None}, {}, 5),  # as many as the context holds, at most the limit
        ({}, {"max_tokens": 2}, 2),  # the handler
        ({}, {"max_tokens": -1}, 5),
    ],
)
def test_an_answer_is_as_long_as_function_caller_and_handler_have_it(
    engine: Recording, requested: dict[str, Any], explicit: dict[str, Any], length: int
) -> None:
    list(bind(engine, seed=0, requested=requested, bounds=Bounds(3, 5)).complete("abcdefgh", **explicit))
    assert engine.requests[0].sampling.max_tokens == length


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


TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
USER = {"role": "user", "content": "hi"}
READING = Reading(calls="some form", tools=(TOOL,))


class Tokenizer(EchoTokenizer):
    """Notes how conversations are to be shown."""

    options: ChatOptions | None = None

    def chat(self, messages: Sequence[Mapping[str, Any]], options: ChatOptions | None = None) -> Prompt:
        self.options = options
        return Prompt(self.encode("hi"))


class ReadingTokenizer(EchoTokenizer):
    """Has its answers read in a form that no engine looks for."""

    def chat(self, messages: Sequence[Mapping[str, Any]], options: ChatOptions | None = None) -> Prompt:
        return Prompt(self.encode("hi"), READING)


def chat_options(engine: Recording, requested: dict[str, Any], *given: Any, **fields: Any) -> ChatOptions:
    tokenizer = engine.tokenizer = Tokenizer()
    bind(engine, seed=0, requested_chat=requested).chat([USER], *given, **fields).close()
    assert tokenizer.options is not None
    return tokenizer.options


def test_the_callers_options_reach_the_template_under_the_handlers(engine: Recording) -> None:
    requested = {"tools": [TOOL], "reasoning_effort": "low", "documents": [{"text": "x"}]}
    found = chat_options(engine, requested, reasoning_effort="high", tool_choice="required")
    assert (found.tools, found.tool_choice, found.reasoning_effort) == ((TOOL,), "required", "high")
    assert found.documents == ({"text": "x"},)


def test_python_functions_are_tools(engine: Recording) -> None:
    def add(a: int) -> int:
        """Add."""
        return a

    (found,) = chat_options(engine, {}, [add]).tools
    assert (found["function"]["name"], found["function"]["description"]) == ("add", "Add.")


def test_how_the_answer_is_read_goes_to_the_engine_and_into_the_digest(engine: Recording) -> None:
    engine.tokenizer = ReadingTokenizer()
    bind(engine, seed=0).chat([USER]).close()
    assert engine.requests[0].reading == READING
    digests = [prompt_digest([1], Sampling(), reading) for reading in (READING, None, replace(READING, must_call=True))]
    assert len(set(digests)) == 3
    assert prompt_digest([1], Sampling(structure=Structure(regex="a"))) != digests[1]


@pytest.mark.parametrize(
    ("sampling", "read", "said"),
    [
        ({}, "abcdef", "ab"),
        ({"truncate_prompt_tokens": 2}, "ef", "ef"),
        ({"truncate_prompt_tokens": 9}, "abcdef", "ab"),
        ({"truncate_prompt_tokens": -1, "max_tokens": 5}, "def", "def"),  # of 8 tokens in all
        ({"truncate_prompt_tokens": -1}, "abcdef", "ab"),
    ],
)
@pytest.mark.parametrize("engine", [{"context_tokens": 8}], indirect=True)
def test_a_prompts_last_tokens_are_read_and_counted(
    engine: Recording, sampling: dict[str, Any], read: str, said: str
) -> None:
    model = bind(engine, seed=0, requested=sampling)
    assert model.complete("abcdef").text() == said
    (request,) = engine.requests
    assert (bytes(request.tokens).decode(), request.sampling.truncate_prompt_tokens) == (read, None)
    assert model.usage.prompt_tokens == len(read)


def test_a_prompt_of_no_tokens_is_refused_by_name(engine: Recording) -> None:
    with pytest.raises(InvalidRequest) as error:
        bind(engine, seed=0).complete("ab", truncate_prompt_tokens=0)
    assert error.value.param == "truncate_prompt_tokens"


@pytest.mark.parametrize("engine", [{"context_tokens": 8}], indirect=True)
def test_where_nothing_fits_beside_the_answer_the_engine_says_so(engine: Recording) -> None:
    with pytest.raises(ContextLengthExceeded):
        bind(engine, seed=0).complete("ab", truncate_prompt_tokens=-1, max_tokens=8)


def test_a_suffix_is_filled_in_up_to(engine: Recording) -> None:
    bind(engine, seed=0).complete("ab", "cd").close()
    assert list(engine.requests[0].tokens) == engine.tokenizer.infill("ab", "cd")
    with pytest.raises(InvalidRequest, match="a text, not token ids"):
        bind(engine, seed=0).complete([1], "cd")


@pytest.mark.parametrize(
    ("given", "vectors", "tokens"),
    [("ab", 1, 2), (["a", "bc"], 2, 3), ([1, 2, 3], 1, 3), ([[1], [2, 3]], 2, 3), (["a", [1, 2]], 2, 3), ([], 0, 0)],
)
def test_texts_and_token_ids_are_embedded(engine: Recording, given: Any, vectors: int, tokens: int) -> None:
    model = bind(engine, seed=0)
    assert len(model.embed(given)) == vectors
    assert model.usage.prompt_tokens == tokens


@pytest.mark.parametrize("given", [[True], [[]], [[-1]], [[1.5]], [None], {"a": 1}, [["a"]]])
def test_what_is_neither_text_nor_tokens_is_not_embedded(engine: Recording, given: Any) -> None:
    with pytest.raises(InvalidRequest) as error:
        bind(engine, seed=0).embed(given)
    assert error.value.param == "input"


@pytest.mark.parametrize("prompt", [[], [True], [-1], ["a"], 7])
def test_a_prompt_is_a_text_or_token_ids(engine: Recording, prompt: Any) -> None:
    with pytest.raises(InvalidRequest) as error:
        bind(engine, seed=0).complete(prompt)
    assert error.value.param == "prompt"


def test_an_unknown_field_is_refused_where_the_handler_asks(engine: Recording) -> None:
    model = bind(engine, seed=0)
    with pytest.raises(InvalidRequest, match="did you mean 'tool_choice'"):
        model.chat([USER], tool_choise="auto")
    with pytest.raises(InvalidRequest, match="documents"):
        model.complete("a", documents=[])


def test_options_of_a_conversation_are_refused_where_there_is_none(engine: Recording) -> None:
    bind(engine, seed=0).refuse_chat("prompt")
    with pytest.raises(InvalidRequest, match="'prompt' has none") as error:
        bind(engine, seed=0, requested_chat={"documents": []}).refuse_chat("prompt")
    assert error.value.param == "documents"
