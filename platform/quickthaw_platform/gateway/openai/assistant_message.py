"""What an assistant says, as chat completions carry it: text, thoughts, calls of tools; in whole and in deltas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quickthaw.generation import Delta, ToolCallDelta
from quickthaw_platform.gateway.openai.answer import Answer


def message(answer: Answer, legacy: bool) -> dict[str, Any]:
    """Return the message of a whole answer: `content` is null where it holds calls and no text."""
    calls = answer.tool_calls
    content = None if calls and not answer.text else answer.text
    body: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, **_thoughts(answer.reasoning)}
    if not calls:
        return body
    if legacy:
        return {**body, "function_call": {"name": calls[0].name, "arguments": calls[0].arguments}}
    return {**body, "tool_calls": [_whole(call) for call in calls]}


def said_in(delta: Delta, legacy: bool) -> Iterator[dict[str, Any]]:
    """Yield what a piece of an answer adds, a kind at a time; log-probabilities alone go with an empty text."""
    if delta.reasoning:
        yield _thoughts(delta.reasoning)
    if delta.text or (delta.logprobs and not delta.reasoning and not delta.tool_calls):
        yield {"content": delta.text}
    if delta.tool_calls and legacy:
        yield from (_legacy(call) for call in delta.tool_calls if call.index == 0)
    elif delta.tool_calls:
        yield {"tool_calls": [_piece(call) for call in delta.tool_calls]}


def reason(why: str, legacy: bool) -> str:
    """Return why an answer ended, in the older form where calls have that."""
    return "function_call" if legacy and why == "tool_calls" else why


def _thoughts(reasoning: str) -> dict[str, str]:
    """Return what was thought under both names that clients look for: DeepSeek's, and the newer one of vLLM."""
    return {"reasoning_content": reasoning, "reasoning": reasoning} if reasoning else {}


def _whole(call: ToolCallDelta) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _piece(call: ToolCallDelta) -> dict[str, Any]:
    if call.name:
        return {"index": call.index, **_whole(call)}
    return {"index": call.index, "function": {"arguments": call.arguments}}


def _legacy(call: ToolCallDelta) -> dict[str, Any]:
    named = {"name": call.name} if call.name else {}
    return {"function_call": {**named, "arguments": call.arguments}}
