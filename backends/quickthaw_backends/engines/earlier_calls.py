"""Calls of tools that the assistant made earlier in a conversation, as chat templates expect them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from quickthaw.errors import InvalidRequest


def with_calls(message: dict[str, Any], place: str) -> dict[str, Any]:
    """Return a message whose `tool_calls` have arguments as objects; `function_call`, their older form, is one of them.

    Without calls there is no `tool_calls`: templates ask whether there is one. Raises InvalidRequest for what is no
    call, naming the place.
    """
    rest = {name: value for name, value in message.items() if name not in ("tool_calls", "function_call")}
    given = message.get("tool_calls") or ()
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InvalidRequest(f"{place}.tool_calls must be a list", param=f"{place}.tool_calls")
    calls = [_call(call, f"{place}.tool_calls[{index}]") for index, call in enumerate(given)]
    if "function_call" in message:
        calls.append(_typed(_function(message["function_call"], f"{place}.function_call")))
    if calls and message["role"] != "assistant":
        raise InvalidRequest(f"{place}: only the assistant calls tools", param=f"{place}.tool_calls")
    return {**rest, "tool_calls": calls} if calls else rest


def with_names(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with names and ids of calls completed where one tells the other.

    A result that says which call it belongs to gets the name of that call's tool; one that has only a name, as results
    of functions had, gets the id of the latest call of it. Calls without an id get one.
    """
    names: dict[str, str] = {}
    completed = []
    for message in messages:
        for call in message.get("tool_calls", ()):
            call.setdefault("id", f"earlier{len(names) % 100:02d}")  # nine characters, as Mistral's templates want
            names[call["id"]] = call["function"]["name"]
        completed.append(_named(message, names) if message["role"] == "tool" else message)
    return completed


def _named(message: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    name, call_id = message.get("name"), message.get("tool_call_id")
    if call_id is None:
        call_id = next((known for known, called in reversed(list(names.items())) if called == name), None)
    found = {"name": name or names.get(str(call_id)), "tool_call_id": call_id}
    return {**message, **{key: value for key, value in found.items() if value is not None}}


def _call(call: object, place: str) -> dict[str, Any]:
    if not isinstance(call, Mapping) or call.get("type", "function") != "function":
        raise InvalidRequest(f'{place} must be a call of type "function"', param=place)
    call_id = call.get("id")
    if not isinstance(call_id, str | None):
        raise InvalidRequest(f"{place}.id must be a text", param=f"{place}.id")
    return _typed(_function(call.get("function"), f"{place}.function"), call_id)


def _typed(function: dict[str, Any], call_id: str | None = None) -> dict[str, Any]:
    return {**({"id": call_id} if call_id else {}), "type": "function", "function": function}


def _function(function: object, place: str) -> dict[str, Any]:
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InvalidRequest(f"{place} needs a name and arguments", param=place)
    return {"name": function["name"], "arguments": _arguments(function.get("arguments"), f"{place}.arguments")}


def _arguments(given: object, place: str) -> dict[str, Any]:
    """Return the object; no text at all is one without entries."""
    try:
        value = json.loads(given or "{}") if isinstance(given, str) else given
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{place} is no JSON: {error}", param=place) from error
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"{place} must be a JSON object, or the text of one", param=place)
    return dict(value)
