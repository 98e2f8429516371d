"""The echo engine's tokens: one a byte of UTF-8, and a few that mark messages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from quickthaw.generation import ChatOptions
from quickthaw_backends.engines.messages import plain_messages
from quickthaw_platform.contracts import Prompt

END = 256  # ends a message, and an answer
USER = 257  # a message of the user begins
OTHER = 258  # a message of anyone else begins
VOCABULARY = 259


class EchoTokenizer:
    """Implements `contracts.Tokenizer`; any text comes back as it was."""

    def encode(self, text: str) -> list[int]:
        """Return the bytes of the text; there is no special token at its start."""
        return list(text.encode("utf-8", errors="replace"))

    def chat(self, messages: Sequence[Mapping[str, Any]], options: ChatOptions | None = None) -> Prompt:
        """Render a conversation: tools as JSON, then each message, between a mark and END; the mark of the answer."""
        tokens = [
            part
            for tool in (options.tools if options else ())
            for part in (OTHER, *self.encode(json.dumps(tool, sort_keys=True)), END)
        ]
        for message in plain_messages(messages):
            tokens += [USER if message["role"] == "user" else OTHER, *self.encode(message["content"]), END]
        return Prompt([*tokens, OTHER])

    def infill(self, prefix: str, suffix: str) -> list[int]:
        """Return both texts with a mark between them."""
        return [*self.encode(prefix), OTHER, *self.encode(suffix)]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text; marks have none, and bytes that are no UTF-8 become U+FFFD."""
        return bytes(token for token in tokens if 0 <= token < END).decode("utf-8", errors="replace")


def echoed_segment(prompt: Sequence[int]) -> tuple[int, ...]:
    """Return the tokens that are said back: the last user message of a conversation, else the whole prompt."""
    if USER not in prompt:
        return tuple(token for token in prompt if token < END)
    begin = len(prompt) - list(reversed(prompt)).index(USER)
    end = prompt.index(END, begin) if END in prompt[begin:] else len(prompt)
    return tuple(prompt[begin:end])
