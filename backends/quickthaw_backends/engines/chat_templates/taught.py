"""Tools for models whose template has no place for them: they are described, and the form of Hermes is taught."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_INSTRUCTIONS = """\
You may call functions. Each is described here as JSON, one on a line:
<tools>
{tools}
</tools>

To call a function, answer with a JSON object of its name and its arguments within tags, and nothing else:
<tool_call>
{{"name": "<name of the function>", "arguments": {{<its arguments>}}}}
</tool_call>

What the function returns follows within <tool_response> and </tool_response>."""


def taught(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the conversation with its tools in the system's turn, and calls and results as text."""
    texts = calls_as_text(messages)
    if not tools:
        return texts
    lines = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    instructions = _INSTRUCTIONS.format(tools=lines)
    if texts[0]["role"] != "system":
        return [{"role": "system", "content": instructions}, *texts]
    content = "\n\n".join(filter(None, (texts[0]["content"], instructions)))
    return [{**texts[0], "content": content}, *texts[1:]]


def calls_as_text(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with calls as text of the assistant and results as text of the user.

    Results that follow each other are one message, since templates want the roles to take turns.
    """
    texts: list[dict[str, Any]] = []
    follows = False  # whether the last message is of results
    for message in messages:
        if message["role"] != "tool":
            texts.append(_with_calls(message))
            follows = False
            continue
        result = f"<tool_response>\n{message['content']}\n</tool_response>"
        if follows:
            texts[-1]["content"] += f"\n{result}"
        else:
            texts.append({"role": "user", "content": result})
        follows = True
    return texts


def _with_calls(message: Mapping[str, Any]) -> dict[str, Any]:
    calls = message.get("tool_calls", ())
    written = [f"<tool_call>\n{_call(call['function'])}\n</tool_call>" for call in calls]
    rest = {name: value for name, value in message.items() if name != "tool_calls"}
    return {**rest, "content": "\n".join(filter(None, (message["content"], *written)))}


def _call(function: Mapping[str, Any]) -> str:
    return json.dumps({"name": function["name"], "arguments": function["arguments"]}, ensure_ascii=False)
