"""The handler of functions without code that name what their chats begin with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quickthaw_platform.worker.handlers import HandlerFunction, built_in
from quickthaw_platform.worker.model import BoundModel

_SYSTEM_ROLES = ("system", "developer")


def beginning_with(system: str | None, tools: Sequence[dict[str, Any]]) -> HandlerFunction:
    """Return the built-in handler; it puts `system` before a conversation that has no system message, and `tools`
    before those of the caller.
    """
    if system is None and not tools:
        return built_in

    def handle(model: BoundModel, **given: Any) -> Any:
        if list(given) != ["messages"]:
            return built_in(model, **given)
        messages = list(given["messages"])
        if system is not None and not any(_is_system(message) for message in messages):
            messages.insert(0, {"role": "system", "content": system})
        if not tools:
            return model.chat(messages)
        wanted = model.requested_chat
        chosen = {} if wanted.allowed_tools is None else {"allowed_tools": wanted.allowed_tools}
        return model.chat(messages, [*tools, *wanted.tools], tool_choice=wanted.tool_choice, **chosen)

    return handle


def _is_system(message: object) -> bool:
    return isinstance(message, Mapping) and message.get("role") in _SYSTEM_ROLES
