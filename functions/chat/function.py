"""Answers a conversation with a small instruction-tuned model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import quickthaw

app = quickthaw.App("chat")


@app.function(model="smollm2-135m-instruct")
def chat(model: quickthaw.Model, messages: list[dict[str, Any]], max_tokens: int = 256) -> Iterator[quickthaw.Delta]:
    """Answer a conversation: messages with `role` and `content`."""
    yield from model.chat(messages, max_tokens=max_tokens)
