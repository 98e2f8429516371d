"""The echo engine's tokens: one a byte of UTF-8, and a few that mark messages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from quickthaw.errors import InvalidRequest
from quickthaw.generation import ChatOptions
from quickthaw_backends.engines.chat_templates.taught import calls_as_text
from quickthaw_backends.engines.chat_templates.tools import allowed_tools, checked_tools
from quickthaw_backends.engines.chat_templates.variables import template_variables
from quickthaw_backends.engines.messages import plain_messages
from quickthaw_backends.engines.tool_forms.table import TAUGHT
from quickthaw_platform.contracts import Prompt, Reading

END = 256  # ends a message, and an answer
USER = 257  # a message of the user begins
OTHER = 258  # a message of anyone else begins
VOCABULARY = 259
MARKS = {END: "<|end|>", USER: "<|user|>", OTHER: "<|other|>"}
_VARIABLES = ("enable_thinking", "reasoning_effort", "documents")  # of its `chat_template_kwargs`


class EchoTokenizer:
    """Implements `contracts.Tokenizer`; any text comes back as it was."""

    def encode(self, text: str) -> list[int]:
        """Return the bytes of the text; there is no special token at its start."""
        return list(text.encode("utf-8", errors="replace"))

    def chat(self, messages: Sequence[Mapping[str, Any]], options: ChatOptions | None = None) -> Prompt:
        """Render a conversation: tools and documents as JSON, then each message, between a mark and END; a last mark.

        Calls are written, and read in the answer, in the form of Hermes. With `enable_thinking` or an effort, what
        stands between <think> and </think> at the answer's beginning is what it thinks.
        """
        options = options or ChatOptions()
        tools = checked_tools(options)
        variables = template_variables(options, _VARIABLES, thinks=True)
        thinks = bool(variables.get("enable_thinking", variables.get("reasoning_effort", "none") != "none"))
        tokens = self._shown([*(options.tools if tools else ()), *options.documents])
        texts = calls_as_text(plain_messages(messages))
        for message in texts:
            tokens += [USER if message["role"] == "user" else OTHER, *self.encode(message["content"]), END]
        if options.continue_final_message and texts[-1]["role"] != "assistant":
            raise InvalidRequest(
                "continue_final_message needs a last message of the assistant", param="continue_final_message"
            )
        if options.continue_final_message:
            tokens.pop()
        return Prompt([*tokens, OTHER] if options.add_generation_prompt else tokens, _reading(tools, options, thinks))

    def infill(self, prefix: str, suffix: str) -> list[int]:
        """Return both texts with a mark between them."""
        return [*self.encode(prefix), OTHER, *self.encode(suffix)]

    def _shown(self, objects: Sequence[Mapping[str, Any]]) -> list[int]:
        texts = [self.encode(json.dumps(shown, sort_keys=True)) for shown in objects]
        return [token for text in texts for token in (OTHER, *text, END)]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text; marks have none, and bytes that are no UTF-8 become U+FFFD."""
        return bytes(token for token in tokens if 0 <= token < END).decode("utf-8", errors="replace")

    def text_of(self, token: int) -> str:
        """Return one token's own text, that of a mark included."""
        return MARKS.get(token) or self.decode([token])

    def bytes_of(self, token: int) -> bytes:
        """Return the byte that a token is; a mark is none."""
        return b"" if token in MARKS else bytes([token])

    def marks_in(self, text: str) -> dict[int, str]:
        """Return the marks whose texts stand in a text, each with its own."""
        return {token: mark for token, mark in MARKS.items() if mark in text}


def _reading(tools: list[dict[str, Any]], options: ChatOptions, thinks: bool) -> Reading | None:
    if not tools and not thinks:
        return None
    return Reading(
        calls=TAUGHT if tools else None,
        tools=allowed_tools(tools, options),
        must_call=options.tool_choice == "required",
        parallel=options.parallel_tool_calls,
        thoughts="think" if thinks else None,
    )


def echoed_segment(prompt: Sequence[int]) -> tuple[int, ...]:
    """Return the tokens that are said back: the last user message of a conversation, else the whole prompt."""
    if USER not in prompt:
        return tuple(token for token in prompt if token < END)
    begin = len(prompt) - list(reversed(prompt)).index(USER)
    end = prompt.index(END, begin) if END in prompt[begin:] else len(prompt)
    return tuple(prompt[begin:end])
