"""The tokenizer and the chat template that a GGUF file carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import Any

from quickthaw.errors import InvalidRequest, NotServable
from quickthaw.generation import ChatOptions
from quickthaw_backends.engines.chat_templates import NO_TEMPLATE, ChatTemplate, chat_prompt
from quickthaw_backends.engines.infill import NO_INFILL
from quickthaw_backends.engines.llamacpp_engine.model import LlamaModel
from quickthaw_backends.engines.texts import marks_among
from quickthaw_platform.contracts import Prompt

_CACHED_TOKENS = 65536
_LONGEST_PIECE_BYTES = 256


class GgufTokenizer:
    """Implements `contracts.Tokenizer` with llama.cpp's own code."""

    def __init__(self, model: LlamaModel) -> None:
        self._ffi, self._library = model.ffi, model.library
        self._vocabulary = model.vocabulary
        self._tokens = model.tokens
        self._source = model.chat_template
        self._piece = lru_cache(maxsize=_CACHED_TOKENS)(self._read_piece)
        with suppress(InvalidRequest):  # whoever sends a conversation hears of it
            _ = self._template

    @cached_property
    def eos(self) -> frozenset[int]:
        """The tokens that end an answer: those that llama.cpp knows as such, and the chat template's end of a turn."""
        ends = self._library.llama_vocab_is_eog
        known = frozenset(token for token in range(self._tokens) if ends(self._vocabulary, token))
        return known | self._end_of_turn()

    def _end_of_turn(self) -> frozenset[int]:
        """Return the special token that the template writes after an answer, if it writes one."""
        after = ""
        with suppress(InvalidRequest):
            after = "" if self._template is None else self._template.after_answer.lstrip()
        first = self._encode(after, add_special=False)[:1] if after else []
        special = first and not self.decode(first) and first[0] != self._library.llama_vocab_bos(self._vocabulary)
        return frozenset(first if special else ())

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a plain text, with the special tokens that the model expects at its start."""
        return self._encode(text, add_special=True)

    def chat(self, messages: Sequence[Mapping[str, Any]], options: ChatOptions | None = None) -> Prompt:
        """Render a conversation with the file's chat template and encode it; InvalidRequest where that fails."""
        if self._template is None:
            raise InvalidRequest(NO_TEMPLATE, param="messages")
        rendered = self._template.render(messages, options)
        return chat_prompt(rendered, lambda text: self._encode(text, add_special=False), self.decode)

    def infill(self, prefix: str, suffix: str) -> list[int]:
        """Return the prompt that asks for the text between two others: marks of the file, prefix first."""
        before, after, between = (getattr(self._library, f"llama_vocab_fim_{name}") for name in ("pre", "suf", "mid"))
        marks = [mark(self._vocabulary) for mark in (before, after, between)]
        if min(marks) < 0:
            raise NotServable(f"this model {NO_INFILL}", param="suffix")
        begin = [self._library.llama_vocab_bos(self._vocabulary)]
        texts = [self._encode(text, add_special=False, parse_special=False) for text in (prefix, suffix)]
        begin = begin if self._library.llama_vocab_get_add_bos(self._vocabulary) else []
        return [*begin, marks[0], *texts[0], marks[1], *texts[1], marks[2]]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of the tokens, without special tokens."""
        return b"".join(self._piece(token, False) for token in tokens).decode(errors="replace")

    def text_of(self, token: int) -> str:
        """Return one token's own text, special tokens included."""
        return self._piece(token, True).decode(errors="replace")

    def bytes_of(self, token: int) -> bytes:
        """Return what one token adds to a text, in UTF-8: perhaps a part of a character; of a special token nothing."""
        return self._piece(token, False)

    def marks_in(self, text: str) -> dict[int, str]:
        """Return the special tokens whose texts stand in a text, each with its own."""
        return marks_among(self._encode(text, add_special=False), self)

    def _encode(self, text: str, *, add_special: bool, parse_special: bool = True) -> list[int]:
        data = text.encode()
        room = len(data) + 8
        found = self._ffi.new("llama_token[]", room)
        count = self._library.llama_tokenize(self._vocabulary, data, len(data), found, room, add_special, parse_special)
        return list(found[0:count])

    def _read_piece(self, token: int, special: bool) -> bytes:
        room = _LONGEST_PIECE_BYTES
        while True:
            buffer = self._ffi.new("char[]", room)
            count = self._library.llama_token_to_piece(self._vocabulary, token, buffer, room, 0, special)
            if count >= 0:
                return bytes(self._ffi.buffer(buffer, count))
            room = -count

    @cached_property
    def _template(self) -> ChatTemplate | None:
        if self._source is None:
            return None
        return ChatTemplate(self._source, {"bos_token": self._special("bos"), "eos_token": self._special("eos")})

    def _special(self, name: str) -> str:
        token = getattr(self._library, f"llama_vocab_{name}")(self._vocabulary)
        return self.text_of(token) if token >= 0 else ""
