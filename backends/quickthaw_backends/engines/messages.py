"""Conversations as callers send them, made plain for a chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quickthaw.errors import InvalidRequest
from quickthaw_backends.engines.earlier_calls import with_calls, with_names

_ROLES = {"developer": "system", "function": "tool"}
"""OpenAI renamed two roles; chat templates know one of each."""
_TEXTS = {"text": "text", "refusal": "refusal"}
"""Types of parts of a content, and the field that has the text."""


def plain_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with text content, roles that templates know, and calls whose arguments are objects.

    Other fields stay, those that are null apart. Raises InvalidRequest for no messages, a message without a role,
    content other than text, and calls that are none.
    """
    if not messages:
        raise InvalidRequest("messages is empty; send at least one message", param="messages")
    plain = [_plain(message, f"messages[{index}]") for index, message in enumerate(messages)]
    return with_names([with_calls(message, f"messages[{index}]") for index, message in enumerate(plain)])


def _plain(message: Mapping[str, Any], place: str) -> dict[str, Any]:
    role = message.get("role") if isinstance(message, Mapping) else None
    if not isinstance(role, str):
        raise InvalidRequest(f"{place} needs a role (system, user, assistant or tool)", param=f"{place}.role")
    content = _text(message.get("content"), f"{place}.content")
    said = {name: value for name, value in message.items() if value is not None}
    return {**said, "role": _ROLES.get(role, role), "content": content}


def _text(content: object, place: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise InvalidRequest(f"{place} must be a text or a list of parts", param=place)
    return "".join(_part(part, f"{place}[{index}]") for index, part in enumerate(content))


def _part(part: object, place: str) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else None
    text = part.get(_TEXTS[kind]) if isinstance(part, Mapping) and kind in _TEXTS else None
    if not isinstance(text, str):
        raise InvalidRequest(f'{place} has type {kind!r}; this model reads only parts of type "text"', param=place)
    return text
