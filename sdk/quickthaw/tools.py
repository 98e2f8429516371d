"""The loop of an agent: a model calls tools, reads what they return, and goes on until it has an answer."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from quickthaw.answer import Answer
from quickthaw.errors import InvalidRequest, UnusableAnswer
from quickthaw.generation import Delta
from quickthaw.message import Message, ToolCall
from quickthaw.model import Model
from quickthaw.tool import AnyTool, Tool

__all__ = ["Tool", "run"]

DEFAULT_ROUNDS = 8

BETWEEN_ROUNDS = "\n\n"
"""Put out behind what a model says before its calls, so that what it says next begins a paragraph."""


def run(
    model: Model,
    messages: Sequence[Mapping[str, Any]],
    tools: Iterable[AnyTool],
    *,
    rounds: int = DEFAULT_ROUNDS,
    show_calls: bool = False,
    tool_choice: str | Mapping[str, Any] = "auto",
    **fields: Any,
) -> Generator[Delta, None, list[dict[str, Any]]]:
    """Ask the model, carry out the calls that it makes, tell it what came of them and ask again, until it answers.

    Yields what the model says while it says it; `yield from` returns the conversation, with all calls, results and
    the answer behind `messages`. `tools` are Python functions (see `Tool.of`). What a tool raises, a tool that does
    not exist and arguments that do not fit are told to the model as the call's result. `tool_choice` holds for the
    first round; then the model may answer. `fields` are those of `Model.chat`.

    Calls are between the model and this loop: the deltas leave them out, and end with the answer's own finish_reason.
    With `show_calls` they are passed on as well, each round with its own.

    Raises UnusableAnswer where the model still calls tools when it has been asked `rounds` times, or where a call is
    cut short; InvalidRequest for `n` above 1.

    A handler that is interrupted is run again, on what the model said before, and so are its tools. Let a tool do the
    same and return the same each time, or deploy the function with `resumable=False`.
    """
    known = _by_name(tools)
    if rounds < 1:
        raise InvalidRequest(f"rounds must be at least 1, not {rounds}", param="rounds")
    conversation = [dict(message) for message in messages]
    for asked in range(rounds):
        choice = "auto" if asked else tool_choice
        answer = model.chat(conversation, tools=list(known.values()), tool_choice=choice, **fields)
        yield from answer if show_calls else _without_calls(answer)
        said = answer.message()
        conversation.append(said.to_json())
        if not said.tool_calls:
            return conversation
        _check_whole(said)
        if said.text.strip():
            yield Delta(BETWEEN_ROUNDS)
        if asked < rounds - 1:
            conversation += [_carried_out(known, call) for call in said.tool_calls]
    names = ", ".join(call.name for call in said.tool_calls)
    raise UnusableAnswer(f"the model still calls tools ({names}) in round {rounds}, the last; allow more rounds")


def _by_name(tools: Iterable[AnyTool]) -> dict[str, Tool]:
    known: dict[str, Tool] = {}
    for given in tools:
        if isinstance(given, Mapping):
            raise InvalidRequest("a tool that is only described cannot be called here; give a function", param="tools")
        tool = Tool.of(given)
        if tool.name in known:
            raise InvalidRequest(f"two tools are called {tool.name!r}", param="tools")
        known[tool.name] = tool
    if not known:
        raise InvalidRequest("give at least one tool, or ask with model.chat", param="tools")
    return known


def _without_calls(answer: Answer[Any]) -> Generator[Delta, None, None]:
    """Yield an answer's text and thoughts, and its end unless that is calls."""
    for delta in answer:
        if delta.choice:
            raise InvalidRequest("a loop with tools goes on from one answer; n must be 1", param="n")
        if not delta.tool_calls and delta.finish_reason != "tool_calls":
            yield delta
        elif delta.text or delta.reasoning:
            yield replace(delta, tool_calls=(), finish_reason=None)


def _check_whole(said: Message) -> None:
    if said.finish_reason == "length":
        raise UnusableAnswer(f"a call of {said.tool_calls[-1].name} was cut short; allow more max_tokens")


def _carried_out(known: Mapping[str, Tool], call: ToolCall) -> dict[str, Any]:
    """Return the message that tells the model what came of a call."""
    tool = known.get(call.name)
    content = (
        f"error: there is no tool {call.name!r}; there are {', '.join(known)}"
        if tool is None
        else tool.run(call.arguments)
    )
    return {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": content}
