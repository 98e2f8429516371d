from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from quickthaw_platform.worker.built_in import beginning_with
from quickthaw_platform.worker.handlers import built_in
from quickthaw_platform.worker.model import BoundModel

USER = {"role": "user", "content": "hi"}
SYSTEM = {"role": "system", "content": "Be kind."}
TOOL = {"type": "function"}


class Asked:
    """Returns what it was asked."""

    def chat(self, messages: Sequence[Any], tools: Sequence[Any] = ()) -> tuple[Any, ...]:
        return "chat", list(messages), list(tools)

    def complete(self, prompt: str) -> tuple[Any, ...]:
        return "complete", prompt


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
    assert ask("Be kind.", [], prompt="x") == ("complete", "x")


def test_a_function_that_names_no_chat_has_the_plain_handler() -> None:
    assert beginning_with(None, []) is built_in
