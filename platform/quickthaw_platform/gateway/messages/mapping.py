"""Anthropic's requests into calls of functions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from quickthaw.types import Handler
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.messages.conversation import continues, plain_messages
from quickthaw_platform.gateway.messages.schema import Conversation, MessagesRequest, Tool, ToolChoice
from quickthaw_platform.gateway.openai.mapping import Call, compression_of, parameters
from quickthaw_platform.gateway.openai.tools import check_choice
from quickthaw_platform.gateway.request_fields import Endpoint, check_fields
from quickthaw_platform.gateway.structure_check.places import Places
from quickthaw_platform.gateway.turns import give_way

_SAMPLING = {name: name for name in ("max_tokens", "temperature", "top_p", "top_k")} | {"stop_sequences": "stop"}
_TOOL_CHOICES = {"auto": "auto", "any": "required", "tool": "required", "none": "none"}
_PLACES = Places(tool="tools.{}.input_schema", max_tokens="max_tokens")


def messages_call(request: MessagesRequest, handler: Handler | None, own_tools: Sequence[Mapping[str, Any]]) -> Call:
    """Map a request; `own_tools` are those that the function itself shows to the model."""
    sampling = {
        ours: value for theirs, ours in _SAMPLING.items() if (value := getattr(request, theirs)) not in (None, [])
    }
    places = _structure(request, sampling)
    return _call(request, handler, own_tools, sampling, places)


def count_call(request: Conversation, handler: Handler | None, own_tools: Sequence[Mapping[str, Any]]) -> Call:
    """Map a request to count what a conversation has: a call that generates nothing."""
    return _call(request, handler, own_tools, {"max_tokens": 0}, _PLACES)


def _call(
    request: Conversation,
    handler: Handler | None,
    own_tools: Sequence[Mapping[str, Any]],
    sampling: dict[str, Any],
    places: Places,
) -> Call:
    arguments = parameters(handler)
    check_fields(Endpoint.MESSAGES, request.model_extra or {}, arguments)
    options = options_of(request)
    if handler is None:
        check_choice(options, own_tools)
    sent = {**(request.model_extra or {}), **sampling}
    named = {name: sent[name] for name in arguments if sent.get(name) is not None and name != "messages"}
    give_way()
    messages = plain_messages(request.system, request.messages)
    return Call({**named, "messages": messages}, sampling, options, places, compression_of(request.compress, handler))


def options_of(request: Conversation) -> dict[str, Any]:
    """Return the fields of ChatOptions that a request sets."""
    found: dict[str, Any] = {}
    if request.tools:
        found["tools"] = _described(request.tools)
    if request.tool_choice is not None:
        found |= _choice(request.tool_choice)
    if request.thinking is not None and request.thinking.type != "adaptive":
        found["chat_template_kwargs"] = {"enable_thinking": request.thinking.type == "enabled"}
    if request.output_config is not None and request.output_config.effort is not None:
        found["reasoning_effort"] = request.output_config.effort
    if continues(request.messages):
        found |= {"add_generation_prompt": False, "continue_final_message": True}
    return found


def shows_thinking(request: Conversation) -> bool:
    """Whether the answer's blocks of thinking have their text."""
    return request.thinking is None or request.thinking.display != "omitted"


def _structure(request: Conversation, sampling: dict[str, Any]) -> Places:
    """Put the structure that is asked for among the sampling fields; returns where the caller wrote it and tools."""
    configured = None if request.output_config is None else request.output_config.format
    if configured is not None and request.output_format is not None:
        raise InvalidRequest(
            "output_format is the older name of output_config.format; send one of them", param="output_format"
        )
    asked = configured or request.output_format
    if asked is None:
        return _PLACES
    sampling["structure"] = {"json_schema": asked.schema_}
    name = "output_format" if configured is None else "output_config.format"
    return replace(_PLACES, structure=f"{name}.schema")


def _described(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    names = [tool.name for tool in tools]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidRequest(f"tools names {twice!r} twice", param="tools")
    return [{"type": "function", "function": _function(tool)} for tool in tools]


def _function(tool: Tool) -> dict[str, Any]:
    described = {} if tool.description is None else {"description": tool.description}
    return {"name": tool.name, **described, "parameters": tool.input_schema}


def _choice(choice: ToolChoice) -> dict[str, Any]:
    if (choice.type == "tool") != (choice.name is not None):
        raise InvalidRequest("tool_choice has a name where its type is tool, and only there", param="tool_choice.name")
    found: dict[str, Any] = {"tool_choice": _TOOL_CHOICES[choice.type]}
    if choice.name is not None:
        found |= {"allowed_tools": [choice.name], "parallel_tool_calls": False}  # a named tool is called once
    if choice.disable_parallel_tool_use is not None:
        found["parallel_tool_calls"] = not choice.disable_parallel_tool_use
    return found
