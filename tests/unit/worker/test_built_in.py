from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from quickthaw.errors import InvalidRequest
from quickthaw.generation import ChatOptions
from quickthaw_platform.worker.built_in import beginning_with
from quickthaw_platform.worker.handlers import built_in
from quickthaw_platform.worker.model import BoundModel

USER = {"role": "user", "content": "hi"}
SYSTEM = {"role": "system", "content": "Be kind."}


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


TOOL = tool("own")


class Asked:
    """Returns what it was asked."""

    def __init__(self, **chat: Any) -> None:
        self.requested_chat = ChatOptions(**chat)
        self._chat = chat

    def chat(self, messages: Sequence[Any], tools: Sequence[Any] = (), **fields: Any) -> tuple[Any, ...]:
        self.fields = fields
        return "chat", list(messages), list(tools)

    def complete(self, prompt: str, suffix: str | None = None) -> tuple[Any, ...]:
        return "complete", prompt, suffix

    def embed(self, texts: Any) -> tuple[Any, ...]:
        return "embed", texts

    def refuse_chat(self, argument: str) -> None:
        if self._chat:
            raise InvalidRequest(f"{argument} has no conversation")


def ask(system: str | None, tools: Sequence[dict[str, Any]], **given: Any) -> Any:
    return beginning_with(system, tools)(cast("BoundModel", Asked()), **given)


@pytest.mark.parametrize(
    ("messages", "asked"),
    [
        ([USER], [SYSTEM, USER]),
        ([SYSTEM | {"content": "Be rude."}, USER], [SYSTEM | {"content": "Be rude."}, USER]),
        ([{"role": "developer", "content": "x"}, USER], [{"role": "developer", "content": "x"}, USER]),
        (["nonsense"], [SYSTEM, "nonsense"]),  # the tokenizer says what is wrong with it
    ],
)
def test_the_system_message_is_put_before_conversations_that_have_none(messages: list[Any], asked: list[Any]) -> None:
    assert ask("Be kind.", [TOOL], messages=messages) == ("chat", asked, [TOOL])
    assert ask(None, [TOOL], messages=messages) == ("chat", messages, [TOOL])


def test_prompts_are_left_alone() -> None:
    assert ask("Be kind.", [], prompt="x") == ("complete", "x", None)
    assert ask("Be kind.", [], prompt="x", suffix="y") == ("complete", "x", "y")


def test_the_functions_own_tools_come_before_the_callers_whose_choice_holds() -> None:
    model = Asked(tools=[tool("theirs")], tool_choice="required", allowed_tools=["theirs"])
    asked = beginning_with(None, [TOOL])(cast("BoundModel", model), messages=[USER])
    assert asked == ("chat", [USER], [TOOL, tool("theirs")])
    assert model.fields == {"tool_choice": "required", "allowed_tools": ("theirs",)}


@pytest.mark.parametrize("given", [{"prompt": "x"}, {"input": "x"}])
def test_options_of_a_conversation_are_refused_where_there_is_none(given: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest, match="no conversation"):
        built_in(cast("BoundModel", Asked(tools=[TOOL])), **given)


@pytest.mark.parametrize(
    "given", [{}, {"messages": [], "prompt": "x"}, {"input": "x", "suffix": "y"}, {"prompt": "x", "sufix": "y"}]
)
def test_anything_but_one_of_the_three_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="exactly one"):
        built_in(cast("BoundModel", Asked()), **given)


def test_a_function_that_names_no_chat_has_the_plain_handler() -> None:
    assert beginning_with(None, []) is built_in
