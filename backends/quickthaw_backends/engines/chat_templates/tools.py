"""The tools of a request: checked, and as templates and grammars expect them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from quickthaw.errors import InvalidRequest
from quickthaw.generation import ChatOptions

_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,256}")
_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}
_KNOWN = ("name", "description", "parameters", "strict")


def checked_tools(options: ChatOptions) -> list[dict[str, Any]]:
    """Return the tools that there are, none where none may be called.

    Raises InvalidRequest, naming the place, for a tool that is no function with a name of its own, and for a choice
    among tools that are not there.
    """
    tools = [_checked(tool, f"tools[{index}]") for index, tool in enumerate(options.tools)]
    names = [tool["function"]["name"] for tool in tools]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidRequest(f"two tools are called {name!r}", param=f"tools[{index}].function.name")
    unknown = [name for name in options.allowed_tools or () if name not in names]
    if unknown:
        raise InvalidRequest(f"there is no tool {unknown[0]!r}; the tools are {names or 'none'}", param="tool_choice")
    if options.tool_choice == "required" and not allowed_tools(tools, options):
        raise InvalidRequest("tool_choice asks for a call and there is no tool to call", param="tool_choice")
    return [] if options.tool_choice == "none" else tools


def allowed_tools(tools: Sequence[dict[str, Any]], options: ChatOptions) -> tuple[dict[str, Any], ...]:
    """Return those of the tools that may be called."""
    allowed = options.allowed_tools
    return tuple(tool for tool in tools if allowed is None or tool["function"]["name"] in allowed)


def shown_tools(tools: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tools as the model is shown them: whether they are strict is no affair of its."""
    functions = [{key: value for key, value in tool["function"].items() if key != "strict"} for tool in tools]
    return [{"type": "function", "function": function} for function in functions]


def _checked(tool: Mapping[str, Any], place: str) -> dict[str, Any]:
    if tool.get("type", "function") != "function":
        raise InvalidRequest(
            f'{place} has type {tool["type"]!r}; models here call only tools of type "function"', param=f"{place}.type"
        )
    function = tool.get("function")
    if not isinstance(function, Mapping):
        raise InvalidRequest(f"{place} needs an object `function` with a name", param=f"{place}.function")
    name, parameters = function.get("name"), function.get("parameters")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{place}.function.name must be 1 to 256 letters, digits or characters of _.:/-, not {name!r}",
            param=f"{place}.function.name",
        )
    if not isinstance(function.get("description", ""), str | None):
        raise InvalidRequest(f"{place}.function.description must be a text", param=f"{place}.function.description")
    if not _describes_object(parameters):
        raise InvalidRequest(
            f"{place}.function.parameters must be a JSON schema of an object", param=f"{place}.function.parameters"
        )
    known = {key: function[key] for key in _KNOWN if function.get(key) is not None}
    return {"type": "function", "function": {**known, "parameters": parameters or _NO_PARAMETERS}}


def _describes_object(parameters: object) -> bool:
    """Return whether this is no schema, or one of an object that can be written as JSON."""
    if parameters is None:
        return True
    try:
        json.dumps(parameters)
    except (TypeError, ValueError, RecursionError):
        return False
    return isinstance(parameters, Mapping) and parameters.get("type", "object") == "object"
