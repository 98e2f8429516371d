"""Anthropic's messages as chat templates know them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.messages.blocks import (
    Message,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from quickthaw_platform.gateway.sse import compact
from quickthaw_platform.gateway.turns import in_turns

_MAY_HOLD = {
    "user": (TextBlock, ToolResultBlock),
    "assistant": (TextBlock, ToolUseBlock, ThinkingBlock, RedactedThinkingBlock),
    "system": (TextBlock,),
}
_ERROR = "Error: "
"""What the model reads before the content of a result that is an error."""


def plain_messages(system: Sequence[TextBlock] | None, messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the conversation: `system` first, calls as OpenAI's `tool_calls`, each result as a turn of role `tool`.

    Turns of one role that follow each other are one, and texts in one turn are separated by a line break. Raises
    InvalidRequest with the path of a block that has no place in its turn, or names a call that there is not.
    """
    names: dict[str, str] = {}  # of the tools, by the id of the call
    found = [[{"role": "system", "content": _text(system)}]] if system else []
    for index, message in enumerate(in_turns(messages)):
        for turn in in_turns(_turns(message, f"messages.{index}", names)):
            if found and turn["role"] == found[-1][0]["role"] != "tool":
                found[-1].append(turn)
            else:
                found.append([turn])
    return [_joined(turns) for turns in in_turns(found)]


def continues(messages: Sequence[Message]) -> bool:
    """Whether the last message is the beginning of the answer; InvalidRequest where calls in it have no results."""
    last = messages[-1]
    if last.role != "assistant":
        return False
    if any(isinstance(block, ToolUseBlock) for block in last.content):
        raise InvalidRequest(
            "the last message has tool_use without tool_result: send what the calls came to",
            param=f"messages.{len(messages) - 1}",
        )
    return True


def _turns(message: Message, path: str, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    for index, block in enumerate(message.content):
        if not isinstance(block, _MAY_HOLD[message.role]):
            raise InvalidRequest(
                f"{path}.content.{index}: a {message.role} message holds no {block.type}",
                param=f"{path}.content.{index}",
            )
    if message.role == "assistant":
        yield _assistant(message, names)
        return
    for index, block in enumerate(message.content):
        if isinstance(block, ToolResultBlock):
            yield _result(block, f"{path}.content.{index}.tool_use_id", names)
        elif isinstance(block, TextBlock):
            yield {"role": message.role, "content": block.text}


def _assistant(message: Message, names: dict[str, str]) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": "assistant", "content": _text(message.content)}
    thoughts = [block.thinking for block in message.content if isinstance(block, ThinkingBlock)]
    calls = [block for block in message.content if isinstance(block, ToolUseBlock)]
    names.update({call.id: call.name for call in calls})
    if thoughts:
        turn["reasoning_content"] = "\n".join(thoughts)
    if calls:
        turn["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": compact(c.input)}} for c in calls
        ]
    return turn


def _result(block: ToolResultBlock, path: str, names: dict[str, str]) -> dict[str, Any]:
    if block.tool_use_id not in names:
        raise InvalidRequest(f"{path}: no tool_use before it has the id {block.tool_use_id[:100]!r}", param=path)
    content = (_ERROR if block.is_error else "") + _text(block.content or ())
    return {"role": "tool", "tool_call_id": block.tool_use_id, "name": names[block.tool_use_id], "content": content}


def _joined(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return turns of one role that follow each other as one."""
    if len(turns) == 1:
        return turns[0]
    turn: dict[str, Any] = {"role": turns[0]["role"], "content": "\n".join(filter(None, (t["content"] for t in turns)))}
    if thoughts := [t["reasoning_content"] for t in turns if "reasoning_content" in t]:
        turn["reasoning_content"] = "\n".join(thoughts)
    if calls := [call for t in turns for call in t.get("tool_calls", ())]:
        turn["tool_calls"] = calls
    return turn


def _text(blocks: Sequence[object]) -> str:
    return "\n".join(block.text for block in blocks if isinstance(block, TextBlock))
