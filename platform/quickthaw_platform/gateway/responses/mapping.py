"""A request for a response into the chat request that means the same. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from quickthaw.types import Handler
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.errors import invalid
from quickthaw_platform.gateway.openai.mapping import Call, chat_call, parameters
from quickthaw_platform.gateway.openai.schema import ChatRequest
from quickthaw_platform.gateway.responses.fields import check_request, passed_on
from quickthaw_platform.gateway.responses.items import messages_of
from quickthaw_platform.gateway.responses.schema import LOGPROBS, InputRequest, Item, ResponseRequest
from quickthaw_platform.gateway.structure_check.places import Places
from quickthaw_platform.gateway.turns import give_way

ALL_THAT_FITS = -1
"""`truncate_prompt_tokens`: as many of the prompt's last tokens as the context holds."""

_ALIKE = ("model", "parallel_tool_calls", "temperature", "top_p")
_CALLED = {
    "messages": "input",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "truncate_prompt_tokens": "truncation",
}
"""What chat completions call a field, to what it is called here."""


def response_call(
    request: InputRequest,
    items: Sequence[Item],
    handler: Handler | None,
    own_tools: Sequence[Mapping[str, Any]] = (),
) -> Call:
    """Map a request whose conversation, with what came before it, is `items`.

    `own_tools` are those that the function itself shows to the model.
    """
    takes = parameters(handler)
    check_request(request, takes)
    messages = messages_of(items, request.instructions)
    if not messages:
        raise InvalidRequest("input: there is nothing to answer; send a text or items", param="input")
    try:
        fields = {**_fields(request, takes), "messages": messages}
        give_way()
        sent = ChatRequest.model_validate(fields)
        call = chat_call(sent, handler, own_tools)
    except ValidationError as error:
        raise _here(invalid(error)) from error
    except InvalidRequest as error:
        raise _here(error) from error
    structure = _name(call.places.structure) or "text.format"
    places = Places(structure, "tools.{}.parameters", "max_output_tokens")
    return replace(call, places=places)


def _here(error: InvalidRequest) -> InvalidRequest:
    """Name the field as it is called here."""
    there, here = error.param or "", _name(error.param) or ""
    if there and there != here:
        error.param, error.message = here, error.message.replace(there, here)
    return error


def _name(field: str | None) -> str | None:
    first, dot, rest = (field or "").partition(".")
    if first == "messages":
        return "input"
    return f"{_CALLED.get(first, first)}{dot}{rest}".replace(".function.", ".").replace(".json_schema.", ".") or None


def _fields(request: InputRequest, takes: Iterable[str]) -> dict[str, Any]:
    """Return the fields of the chat request but its messages; the handler `takes` these arguments."""
    sent = request.model_dump(exclude_unset=True, exclude_none=True, include=set(_ALIKE))
    fields = passed_on(request, takes) | sent
    if request.tools:
        fields["tools"] = [_tool(tool, f"tools.{index}") for index, tool in enumerate(request.tools)]
    if request.tool_choice is not None:
        fields["tool_choice"] = _choice(request.tool_choice)
    if request.text is not None and request.text.format is not None:
        fields["response_format"] = _format(request.text.format)
    if request.reasoning is not None and request.reasoning.effort is not None:
        fields["reasoning_effort"] = request.reasoning.effort
    if request.truncation == "auto":
        fields["truncate_prompt_tokens"] = ALL_THAT_FITS
    return fields | (_of_answer(request) if isinstance(request, ResponseRequest) else {})


def _of_answer(request: ResponseRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if request.max_output_tokens is not None:
        fields["max_completion_tokens"] = request.max_output_tokens
    if LOGPROBS in (request.include or ()):
        fields |= {"logprobs": True, "top_logprobs": request.top_logprobs or 0}
    elif request.top_logprobs:
        raise InvalidRequest(f"top_logprobs needs include: [{LOGPROBS!r}]", param="top_logprobs")
    return fields


def _tool(tool: Mapping[str, Any], place: str) -> dict[str, Any]:
    _check_function(tool, place)
    return {"type": "function", "function": {k: v for k, v in tool.items() if k != "type" and v is not None}}


def _choice(choice: str | Mapping[str, Any]) -> str | dict[str, Any]:
    if isinstance(choice, str):
        return choice
    if choice.get("type") != "allowed_tools":
        return _named(choice, "tool_choice")
    tools = choice.get("tools")
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise InvalidRequest("tool_choice.tools: must be a list of tools", param="tool_choice.tools")
    named = [_named(tool, f"tool_choice.tools.{index}") for index, tool in enumerate(tools)]
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.get("mode", "auto"), "tools": named}}


def _named(tool: Mapping[str, Any], place: str) -> dict[str, Any]:
    _check_function(tool, place)
    return {"type": "function", "function": {"name": tool["name"]}}


def _check_function(tool: Mapping[str, Any], place: str) -> None:
    if tool.get("type") != "function":
        raise InvalidRequest(
            f"{place}.type: a tool of type {tool.get('type')!r} is not served; only functions, which you run, are",
            param=f"{place}.type",
        )
    if not isinstance(tool.get("name"), str):
        raise InvalidRequest(f"{place}.name: must be text", param=f"{place}.name")


def _format(wanted: Mapping[str, Any]) -> dict[str, Any]:
    kind = wanted.get("type")
    if kind != "json_schema":
        return {"type": kind}
    return {"type": kind, "json_schema": {name: value for name, value in wanted.items() if name != "type"}}
