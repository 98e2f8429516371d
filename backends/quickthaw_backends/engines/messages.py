"""Conversations as callers send them, made plain for a chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quickthaw.errors import InvalidRequest

_ROLES = {"developer": "system"}
"""OpenAI renamed the system role; chat templates know the old name."""


def plain_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with text content and roles that templates know; other fields stay.

    Raises InvalidRequest for no messages, a message without a role, and content other than text.
    """
    if not messages:
        raise InvalidRequest("messages is empty; send at least one message", param="messages")
    return [_plain(message, f"messages[{index}]") for index, message in enumerate(messages)]


def _plain(message: Mapping[str, Any], place: str) -> dict[str, Any]:
    role = message.get("role") if isinstance(message, Mapping) else None
    if not isinstance(role, str):
        raise InvalidRequest(f"{place} needs a role (system, user or assistant)", param=f"{place}.role")
    content = _text(message.get("content"), f"{place}.content")
    return {**message, "role": _ROLES.get(role, role), "content": content}


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
    text = part.get("text") if isinstance(part, Mapping) and kind == "text" else None
    if not isinstance(text, str):
        raise InvalidRequest(f'{place} has type {kind!r}; this model reads only parts of type "text"', param=place)
    return text
