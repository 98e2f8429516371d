"""Messages as chat templates know them, from what OpenAI's clients send. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.openai.request_parts import ChatMessage, ContentPart, Loose, ToolCall
from quickthaw_platform.gateway.turns import in_turns

_HARMLESS = frozenset({"annotations", "id", "cache_control", "prompt_cache_breakpoint", "index"})
"""Fields that clients send back from answers, or mark a cache with."""


def plain_messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Return messages with text content; `system` for the newer `developer`, calls of tools for the older functions.

    Raises InvalidRequest, naming the place, for what is not text and for fields that nothing is done with.
    """
    plain, called = [], 0
    for index, message in enumerate(in_turns(messages)):
        plain.append(_plain(message, index, called))
        called = called if message.function_call is None else index
    return plain


def _plain(message: ChatMessage, index: int, called: int) -> dict[str, Any]:
    """`called`: where the last call in the older form was made, which a function's message answers."""
    place = f"messages.{index}"
    _check_extra(message, place)
    role = {"developer": "system", "function": "tool"}.get(message.role, message.role)
    plain: dict[str, Any] = {"role": role, "content": _text(message, place)}
    if message.name is not None:
        plain["name"] = message.name
    if calls := _calls(message, index, place):
        plain["tool_calls"] = calls
    call_id = _legacy_id(called) if message.role == "function" else message.tool_call_id
    if call_id is not None:
        plain["tool_call_id"] = call_id
    thought = message.reasoning_content or message.reasoning
    return {**plain, "reasoning_content": thought} if thought else plain


def _text(message: ChatMessage, place: str) -> str:
    if isinstance(message.content, list):
        return "".join(_part(part, f"{place}.content.{index}") for index, part in enumerate(in_turns(message.content)))
    return message.content or message.refusal or ""


def _part(part: ContentPart, place: str) -> str:
    text = {"text": part.text, "refusal": part.refusal}.get(part.type)
    if text is None:
        raise InvalidRequest(
            f"{place}: a content part of type {part.type[:50]!r} is not served; only text is", param=place
        )
    _check_extra(part, place)
    return text


def _calls(message: ChatMessage, index: int, place: str) -> list[dict[str, Any]]:
    for number, call in enumerate(in_turns(message.tool_calls or ())):
        _check_extra(call, f"{place}.tool_calls.{number}")
    calls = [_call(call) for call in in_turns(message.tool_calls or ())]
    if message.function_call is not None:
        function = message.function_call.model_dump()
        calls.append({"id": _legacy_id(index), "type": "function", "function": function})
    return calls


def _call(call: ToolCall) -> dict[str, Any]:
    named = {"id": call.id} if call.id is not None else {}
    return {**named, "type": "function", "function": call.function.model_dump()}


def _legacy_id(index: int) -> str:
    return f"call{index:05d}"  # nine letters and digits, as Mistral's templates want them


def _check_extra(part: Loose, place: str) -> None:
    for name, value in (part.model_extra or {}).items():
        if value is not None and name not in _HARMLESS:
            raise InvalidRequest(f"{place}: there is nothing to do with {name[:100]!r}", param=f"{place}.{name}")
