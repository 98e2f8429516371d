"""Answers with a shape from the echo engine, whose masks are those of all: parsed, called, cut at every delta."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, cast

import jsonschema
import pytest
from pydantic import BaseModel

from quickthaw import Answer, Delta, Tool, UnusableAnswer, tools
from quickthaw_backends.engines.echo_engine import EchoEngine
from quickthaw_platform.contracts import Checkpoint, Engine
from quickthaw_platform.worker.model import BoundModel
from quickthaw_platform.worker.replay import Replay

MESSAGES = [{"role": "user", "content": "The city of Bonn, by the Rhine."}]


class City(BaseModel):
    name: str
    size: Literal["small", "large"]
    rivers: list[str]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def engine() -> Iterator[EchoEngine]:
    made = EchoEngine()
    made.prepare(Checkpoint("c", Path("/"), {}), {}, lambda _name, _seconds: None)
    made.start("cpu", 1, 1 << 20)
    yield made
    made.close()


def bind(engine: EchoEngine, **arguments: Any) -> BoundModel:
    return BoundModel(cast("Engine", engine), "i", seed=7, **arguments)


def city(model: BoundModel) -> Answer[Any]:
    return model.chat(MESSAGES, response_format=City)


def call(model: BoundModel) -> Answer[Any]:
    return model.chat(MESSAGES, tools=[add], tool_choice="add")


def test_an_object_of_the_response_format_comes_out(engine: EchoEngine) -> None:
    answer = city(bind(engine))
    *partial, last = answer.partial()
    assert City.model_validate(last) == answer.parsed()
    assert [set(value) for value in partial] == sorted([set(value) for value in partial], key=len)


def test_a_call_that_must_be_made_has_valid_arguments(engine: EchoEngine) -> None:
    answer = call(bind(engine))
    (made,) = answer.tool_calls()
    assert (made.name, answer.message().finish_reason, answer.text()) == ("add", "tool_calls", "")
    jsonschema.validate(json.loads(made.arguments), dict(Tool.of(add).parameters))
    assert not Tool.of(add).run(made.arguments).startswith("error")


@pytest.mark.parametrize("ask", [city, call])
def test_cut_after_every_delta_it_is_the_same(engine: EchoEngine, ask: Callable[[BoundModel], Answer[Any]]) -> None:
    records: list[tuple[str, Delta]] = []
    model = bind(engine, record=lambda mark, delta: records.append((mark, delta)))
    undisturbed = list(ask(model))
    model.recorder.mark_of(None)
    assert [delta for _, delta in records] == undisturbed
    for cut in range(1, len(records)):
        replay = Replay()
        replay.extend((), [(mark, delta.to_json()) for mark, delta in records[:cut]])
        assert list(ask(bind(engine, replay=replay))) == undisturbed, cut


def note(number: int) -> int:
    """Note a number."""
    return number


NOTE = [{"role": "user", "content": '<tool_call>\n{"name": "note", "arguments": {"number": 5}}\n</tool_call>'}]


def test_a_model_that_calls_is_told_the_result_and_answers(engine: EchoEngine) -> None:
    said = "".join(map(str, tools.run(bind(engine), NOTE, [note])))
    assert said == "<tool_response>\n5\n</tool_response>"  # the echo of what it is told


def test_a_model_that_calls_in_the_last_round_is_stopped(engine: EchoEngine) -> None:
    with pytest.raises(UnusableAnswer, match=r"\(note\) in round 1, the last"):
        list(tools.run(bind(engine), NOTE, [note], rounds=1))


def test_a_model_that_calls_nothing_just_answers(engine: EchoEngine) -> None:
    assert "".join(map(str, tools.run(bind(engine), MESSAGES, [add]))) == MESSAGES[0]["content"]
