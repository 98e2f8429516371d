"""The items of a conversation: checked, and turned into the messages that chat templates know. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.responses.schema import Item
from quickthaw_platform.gateway.turns import in_turns

ROLES = ("user", "assistant", "system", "developer")
TEXT_PARTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
"""Kinds of content parts, and the field in which each has its text."""

PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}


def items_of(sent: str | Sequence[Item] | None, find: Callable[[str, str], Item]) -> list[dict[str, Any]]:
    """Check what a caller sent as `input` and return its items, all written out.

    `find` returns the stored item with an id, which the second argument, a place in the request, refers to. Raises
    InvalidRequest, whose `param` is the place that is wrong.
    """
    if isinstance(sent, str):
        return [_message({"role": "user", "content": sent}, "input")]
    return [_item(item, f"input.{index}", find) for index, item in enumerate(in_turns(sent or ()))]


def named(items: Sequence[Item], invocation: str) -> list[dict[str, Any]]:
    """Give each item without an id one that says whose input it is."""
    return [
        {**item, "id": item.get("id") or f"{PREFIXES[item['type']]}_{invocation}_in{index}"}
        for index, item in enumerate(in_turns(items))
    ]


def invocation_in(item_id: str) -> str | None:
    """Return the invocation that an id of an item names; None where it names none."""
    _, _, rest = item_id.partition("_")
    return rest.partition("_")[0] or None


def messages_of(items: Sequence[Item], instructions: str | None = None) -> list[dict[str, Any]]:
    """Return the messages that items stand for, with `instructions` as a system message before them.

    A reasoning item, a message and calls of tools that follow each other are one message of the assistant.
    """
    messages = [{"role": "system", "content": instructions}] if instructions else []
    for item in in_turns(items):
        message = _SPOKEN[item["type"]](item)
        if messages and message["role"] == "assistant" and _goes_on(messages[-1], message):
            messages[-1] |= {**message, "content": messages[-1]["content"] + message["content"]}
            continue
        messages.append(message)
    return [{**message, **_calls(message)} for message in in_turns(messages)]


def _item(item: Item, place: str, find: Callable[[str, str], Item]) -> dict[str, Any]:
    kind = item.get("type") or ("message" if "role" in item else "item_reference")
    if kind == "item_reference":
        return dict(find(_text(item, "id", place), f"{place}.id"))
    reader = _READERS.get(str(kind))
    if reader is None:
        raise InvalidRequest(
            f"{place}.type: an item of type {kind!r} is not served; known: {', '.join((*_READERS, 'item_reference'))}",
            param=f"{place}.type",
        )
    found = reader(item, place)
    return {"id": item["id"], **found} if isinstance(item.get("id"), str) and item["id"] else found


def _message(item: Item, place: str) -> dict[str, Any]:
    role = item.get("role")
    if role not in ROLES:
        raise InvalidRequest(f"{place}.role: must be one of {', '.join(ROLES)}", param=f"{place}.role")
    kind = "output_text" if role == "assistant" else "input_text"
    parts = _parts(item.get("content"), f"{place}.content", kind)
    return {"type": "message", "role": role, "status": "completed", "content": parts}


def _call(item: Item, place: str) -> dict[str, Any]:
    said = {name: _text(item, name, place) for name in ("call_id", "name", "arguments")}
    return {"type": "function_call", "status": "completed", **said}


def _call_output(item: Item, place: str) -> dict[str, Any]:
    output = item.get("output")
    if not isinstance(output, str):
        output = _parts(output, f"{place}.output", "input_text")
    call_id = _text(item, "call_id", place)
    return {"type": "function_call_output", "status": "completed", "call_id": call_id, "output": output}


def _thoughts(item: Item, place: str) -> dict[str, Any]:
    if item.get("encrypted_content") is not None:
        raise InvalidRequest(
            f"{place}.encrypted_content: thoughts that were encrypted elsewhere cannot be read; leave the item out",
            param=f"{place}.encrypted_content",
        )
    found: dict[str, Any] = {"type": "reasoning", "summary": [], "content": []}
    for field, kind in (("summary", "summary_text"), ("content", "reasoning_text")):
        for index, part in enumerate(_list(item.get(field) or [], f"{place}.{field}")):
            found[field].append({"type": kind, "text": _text(part, "text", f"{place}.{field}.{index}")})
    return found


_READERS: Mapping[str, Callable[[Item, str], dict[str, Any]]] = {
    "message": _message,
    "function_call": _call,
    "function_call_output": _call_output,
    "reasoning": _thoughts,
}


def _parts(content: Any, place: str, kind: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [_part(kind, content)]
    return [_part_of(part, f"{place}.{index}", kind) for index, part in enumerate(in_turns(_list(content, place)))]


def _part_of(part: Mapping[str, Any], place: str, kind: str) -> dict[str, Any]:
    field = TEXT_PARTS.get(str(part.get("type")))
    if field is None:
        raise InvalidRequest(
            f"{place}.type: a part of type {part.get('type')!r} is not served; only text is", param=f"{place}.type"
        )
    return _part(kind, _text(part, field, place))


def _part(kind: str, text: str) -> dict[str, Any]:
    return {"type": kind, "text": text, **({"annotations": []} if kind == "output_text" else {})}


def _list(value: Any, place: str) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise InvalidRequest(f"{place}: must be text, or a list of objects", param=place)
    return value


def _text(item: Mapping[str, Any], name: str, place: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise InvalidRequest(f"{place}.{name}: must be text", param=f"{place}.{name}")
    return value


def _said(item: Item) -> dict[str, Any]:
    role = "system" if item["role"] == "developer" else item["role"]
    return {"role": role, "content": _joined(item["content"])}


def _called(item: Item) -> dict[str, Any]:
    return {"role": "assistant", "content": "", "tool_calls": [item]}


def _returned(item: Item) -> dict[str, Any]:
    output = item["output"]
    text = output if isinstance(output, str) else _joined(output)
    return {"role": "tool", "tool_call_id": item["call_id"], "content": text}


def _thought(item: Item) -> dict[str, Any]:
    return {"role": "assistant", "content": "", "reasoning_content": _joined(item["content"] or item["summary"])}


_SPOKEN: Mapping[str, Callable[[Item], dict[str, Any]]] = {
    "message": _said,
    "function_call": _called,
    "function_call_output": _returned,
    "reasoning": _thought,
}


def _joined(parts: Sequence[Mapping[str, Any]]) -> str:
    return "".join(part["text"] for part in parts)


def _goes_on(before: dict[str, Any], message: dict[str, Any]) -> bool:
    """Whether a message is of one turn with the one before it; collects the calls of both where it is."""
    if before["role"] != "assistant" or "reasoning_content" in message:
        return False
    if "tool_calls" in before and "tool_calls" not in message:
        return False
    if before["content"] and message["content"]:
        return False
    if "tool_calls" in message:
        calls = before.get("tool_calls", [])
        calls += message["tool_calls"]
        message["tool_calls"] = calls
    return True


def _calls(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the calls of a message as chat completions write them."""
    calls = [
        {
            "id": call["call_id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        for call in in_turns(message.get("tool_calls", ()))
    ]
    return {"tool_calls": calls} if calls else {}
