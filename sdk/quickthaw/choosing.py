"""Which tools an answer calls, as callers and handlers say it, read as the fields of ChatOptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quickthaw.errors import InvalidRequest

MODES = ("none", "auto", "required")


def tool_choice_fields(tool_choice: object) -> dict[str, Any]:
    """Read "none", "auto", "required", the name of a tool, or what OpenAI's chat completions take; None: no fields.

    A named tool must be called, once. Raises InvalidRequest, naming tool_choice, for anything else.
    """
    if tool_choice is None:
        return {}
    if isinstance(tool_choice, str):
        return {"tool_choice": tool_choice} if tool_choice in MODES else _must_call([tool_choice])
    if isinstance(tool_choice, Mapping) and tool_choice.get("type") == "function":
        return _must_call([_name(tool_choice)])
    if isinstance(tool_choice, Mapping) and tool_choice.get("type") == "allowed_tools":
        return _allowed(tool_choice.get("allowed_tools"))
    raise _wrong()


def _must_call(names: list[str]) -> dict[str, Any]:
    return {"tool_choice": "required", "allowed_tools": names, "parallel_tool_calls": False}


def _allowed(allowed: object) -> dict[str, Any]:
    if not isinstance(allowed, Mapping) or allowed.get("mode") not in MODES:
        raise _wrong()
    tools = allowed.get("tools")
    if not isinstance(tools, list | tuple):
        raise _wrong()
    return {"tool_choice": allowed["mode"], "allowed_tools": [_name(tool) for tool in tools]}


def _name(tool: object) -> str:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise _wrong()
    return name


def _wrong() -> InvalidRequest:
    return InvalidRequest(
        'tool_choice must be "none", "auto", "required", a tool\'s name, {"type": "function", "function": {"name": …}} '
        'or {"type": "allowed_tools", "allowed_tools": {"mode": …, "tools": […]}}',
        param="tool_choice",
    )
