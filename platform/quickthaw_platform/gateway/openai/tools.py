"""Tools and how a conversation is shown, by OpenAI's and vLLM's names, as fields of ChatOptions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.openai.request_parts import (
    AllowedToolsChoice,
    FunctionDefinition,
    FunctionName,
    Tool,
    ToolReference,
)
from quickthaw_platform.gateway.openai.schema import ChatRequest

_NO_ARGUMENTS = {"type": "object", "properties": {}}
_SAME = (
    "parallel_tool_calls", "documents", "chat_template_kwargs", "reasoning_effort", "add_generation_prompt",
    "continue_final_message",
)  # fmt: skip

ONE_CALL = {"parallel_tool_calls": False}
"""Of a tool that is named: it is called once, as by OpenAI. A small model would call it until it is cut."""


def options_of(request: ChatRequest) -> dict[str, Any]:
    """Return the fields of ChatOptions that a request sets."""
    found = {name: value for name in _SAME if (value := getattr(request, name)) is not None}
    if found.get("continue_final_message") and found.get("add_generation_prompt", True):
        raise InvalidRequest(
            "continue_final_message needs add_generation_prompt: false", param="continue_final_message"
        )
    return {**found, **_tools(request), **_choice(request)}


def check_choice(options: Mapping[str, Any], own: Sequence[Mapping[str, Any]]) -> None:
    """Raise InvalidRequest where a call must be made or may be made of a tool that is not there.

    `own` are the tools that the function itself shows to the model.
    """
    names = [tool.get("function", tool).get("name") for tool in (*own, *options.get("tools", ()))]
    if options.get("tool_choice") == "required" and not names:
        raise InvalidRequest("tool_choice needs tools", param="tool_choice")
    missing = next((name for name in options.get("allowed_tools", ()) if name not in names), None)
    if missing is not None:
        known = ", ".join(map(str, names))
        raise InvalidRequest(f"tool_choice: no tool is called {missing!r}; there are: {known}", param="tool_choice")


def is_legacy(request: ChatRequest) -> bool:
    """Whether calls are to be answered in the form that `functions` had."""
    return request.functions is not None


def _tools(request: ChatRequest) -> dict[str, Any]:
    if request.functions is not None and request.tools:
        raise InvalidRequest("functions is the older name of tools; send one of them", param="functions")
    if request.functions is not None:
        return {"tools": _described(request.functions, "functions"), "parallel_tool_calls": False}
    if request.tools:
        for index, tool in enumerate(request.tools):
            _check_extra(tool, f"tools.{index}")
        return {"tools": _described([tool.function for tool in request.tools], "tools")}
    return {}


def _described(functions: Sequence[FunctionDefinition], param: str) -> list[dict[str, Any]]:
    names = [function.name for function in functions]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidRequest(f"{param} names {twice!r} twice", param=param)
    return [{"type": "function", "function": _definition(function)} for function in functions]


def _definition(function: FunctionDefinition) -> dict[str, Any]:
    fields = function.model_dump(exclude_none=True, exclude={"strict"})  # it is no part of what the model is shown
    return {**fields, "parameters": fields.get("parameters", _NO_ARGUMENTS)}


def _choice(request: ChatRequest) -> dict[str, Any]:
    choice = request.function_call if request.tool_choice is None else request.tool_choice
    if choice is None:
        return {}
    if isinstance(choice, str):
        return {"tool_choice": choice}
    if isinstance(choice, AllowedToolsChoice):
        allowed = [reference.function.name for reference in choice.allowed_tools.tools]
        return {"tool_choice": choice.allowed_tools.mode, "allowed_tools": allowed}
    return {"tool_choice": "required", "allowed_tools": [_name(choice)], **ONE_CALL}


def _check_extra(tool: Tool, place: str) -> None:
    for name, value in (tool.model_extra or {}).items():
        if value is not None and name != "cache_control":  # marks a cache; beginnings are kept without
            raise InvalidRequest(f"{place}: there is nothing to do with {name[:100]!r}", param=f"{place}.{name}")


def _name(choice: ToolReference | FunctionName) -> str:
    return choice.function.name if isinstance(choice, ToolReference) else choice.name
