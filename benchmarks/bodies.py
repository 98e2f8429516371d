"""Bodies of chat requests. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def greedy_body(model: str, messages: Sequence[Mapping[str, str]], tokens: int, **more: Any) -> dict[str, Any]:
    """Return the body of a chat request whose answer is greedy, streamed with its usage, and `tokens` long at most."""
    return {
        "model": model,
        "messages": list(messages),
        "max_tokens": tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **more,
    }
