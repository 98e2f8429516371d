"""The loop of an agent: a model calls tools until it has an answer."""

from __future__ import annotations

from typing import Any, cast

import pytest

from quickthaw import Answer, Delta, InvalidRequest, Model, ToolCallDelta, UnusableAnswer, tools


def calls(*named: tuple[str, str], text: str = "") -> list[Delta]:
    pieces = [
        Delta(tool_calls=(ToolCallDelta(index, f"call_{index}", name, arguments),))
        for index, (name, arguments) in enumerate(named)
    ]
    return [Delta(text), *pieces, Delta(finish_reason="tool_calls")]


class Scripted:
    """Answers what it was given, and notes what it was asked."""

    def __init__(self, *answers: list[Delta]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[list[dict[str, Any]], dict[str, Any]]] = []

    def chat(self, messages: list[dict[str, Any]], **fields: Any) -> Answer[Any]:
        self.asked.append((list(messages), fields))
        return Answer(self._answers.pop(0))


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ASK = [{"role": "user", "content": "1 + 2?"}]
SAY_THREE = [Delta("Three"), Delta(".", finish_reason="stop")]


def ran(model: Scripted, *given: Any, **fields: Any) -> tuple[list[Delta], list[dict[str, Any]]]:
    deltas: list[Delta] = []
    loop = tools.run(cast("Model", model), ASK, given or [add], **fields)
    while True:
        try:
            deltas.append(next(loop))
        except StopIteration as end:
            return deltas, end.value


def test_the_loop_carries_out_calls_until_there_is_an_answer() -> None:
    model = Scripted(calls(("add", '{"a": 1, "b": 2}'), ("sub", "{}"), ("add", '{"a": "x"}')), SAY_THREE)
    deltas, conversation = ran(model, temperature=0)
    assert [(delta.text, delta.finish_reason) for delta in deltas if delta.text] == [("Three", None), (".", "stop")]
    assert not any(delta.tool_calls for delta in deltas)
    assert conversation[:1] == ASK
    assert [made["function"]["name"] for made in conversation[1]["tool_calls"]] == ["add", "sub", "add"]
    assert [(m["role"], m["tool_call_id"], m["name"]) for m in conversation[2:5]] == [
        ("tool", "call_0", "add"),
        ("tool", "call_1", "sub"),
        ("tool", "call_2", "add"),
    ]
    assert conversation[2]["content"] == "3"
    assert conversation[3]["content"] == "error: there is no tool 'sub'; there are add"
    assert conversation[4]["content"].startswith("error: b is missing")
    assert conversation[5] == {"role": "assistant", "content": "Three."}
    assert model.asked[1][0] == conversation[:5]
    assert [fields["temperature"] for _, fields in model.asked] == [0, 0]
    assert ASK == [{"role": "user", "content": "1 + 2?"}]


def test_calls_are_shown_on_request() -> None:
    model = Scripted(calls(("add", '{"a": 1, "b": 2}')), SAY_THREE)
    deltas, _ = ran(model, show_calls=True)
    assert [piece.name for delta in deltas for piece in delta.tool_calls] == ["add"]
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["tool_calls", "stop"]


def test_what_is_said_before_a_call_is_a_paragraph_of_its_own() -> None:
    both = [
        Delta("Let me see."),
        Delta(" So:", tool_calls=(ToolCallDelta(0, "c", "add", "{}"),), finish_reason="tool_calls"),
    ]
    deltas, _ = ran(Scripted(both, SAY_THREE))
    assert "".join(map(str, deltas)) == "Let me see. So:\n\nThree."
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]


def test_a_choice_holds_for_the_first_round() -> None:
    model = Scripted(calls(("add", "{}")), SAY_THREE)
    ran(model, tool_choice="required")
    assert [fields["tool_choice"] for _, fields in model.asked] == ["required", "auto"]


def test_too_many_rounds_are_an_error_that_names_the_calls() -> None:
    model = Scripted(*2 * [calls(("add", "{}"))])
    with pytest.raises(UnusableAnswer, match=r"still calls tools \(add\) in round 2, the last"):
        ran(model, rounds=2)
    assert len(model.asked) == 2


def test_a_call_that_is_cut_short_is_an_error_and_not_carried_out() -> None:
    cut = [Delta(tool_calls=(ToolCallDelta(0, "c", "add", '{"a": 1'),)), Delta(finish_reason="length")]
    with pytest.raises(UnusableAnswer, match="call of add was cut short"):
        ran(Scripted(cut))


@pytest.mark.parametrize(
    ("given", "fields", "param"),
    [
        ([{"type": "function", "function": {"name": "add"}}], {}, "tools"),
        ([add, add], {}, "tools"),
        ([add], {"rounds": 0}, "rounds"),
    ],
)
def test_what_the_loop_cannot_do_is_refused_by_name(given: list[Any], fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        ran(Scripted(SAY_THREE), *given, **fields)
    assert error.value.param == param


def test_it_needs_tools_and_one_answer() -> None:
    with pytest.raises(InvalidRequest, match="at least one tool"):
        next(tools.run(cast("Model", Scripted()), ASK, []))
    with pytest.raises(InvalidRequest, match="n must be 1"):
        ran(Scripted([Delta("x", choice=1)]))
