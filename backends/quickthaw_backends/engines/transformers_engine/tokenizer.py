"""A Hugging Face tokenizer behind the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer

from quickthaw.errors import InvalidRequest, NotServable
from quickthaw.generation import ChatOptions
from quickthaw_backends.engines.infill import INFILL_MARKS, NO_INFILL
from quickthaw_backends.engines.messages import plain_messages
from quickthaw_platform.contracts import Prompt

_CACHED_TOKENS = 65536


class HfTokenizer:
    """Implements `contracts.Tokenizer` with the tokenizer of a checkpoint's folder."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        # An anchor before a token keeps decoders from dropping the space that the token begins with.
        self._anchor = self._tokenizer.encode("a", add_special_tokens=False)[-1:]
        self._anchor_text = self._raw(self._anchor)
        self._cached = lru_cache(maxsize=_CACHED_TOKENS)(self._text_of)

    @property
    def eos(self) -> frozenset[int]:
        """The tokens that end a text by the tokenizer's own word."""
        token = self._tokenizer.eos_token_id
        return frozenset() if token is None else frozenset({token})

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a plain text, with the special tokens that the model expects at its start."""
        tokens: list[int] = self._tokenizer.encode(text)
        return tokens

    def chat(self, messages: Sequence[Mapping[str, Any]], options: ChatOptions | None = None) -> Prompt:
        """Render a conversation with the model's chat template and encode it; InvalidRequest where that fails."""
        plain = plain_messages(messages)
        if not self._tokenizer.chat_template:
            raise InvalidRequest(
                "this model has no chat template; send a prompt to be completed instead", param="messages"
            )
        tools: list[Any] = [dict(tool) for tool in options.tools] if options else []
        try:
            text = self._tokenizer.apply_chat_template(
                plain,
                tools=tools or None,
                add_generation_prompt=True,
                tokenize=False,
            )
        except (TemplateError, TypeError, KeyError) as error:
            raise InvalidRequest(f"the chat template refuses the messages: {error}", param="messages") from error
        return Prompt(self._tokenizer.encode(text, add_special_tokens=False))

    def infill(self, prefix: str, suffix: str) -> list[int]:
        """Return the prompt that asks for the text between two others, with the marks that the vocabulary has."""
        vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        found = next((names for names in INFILL_MARKS if all(name in vocabulary for name in names)), None)
        if found is None:
            raise NotServable(f"this model {NO_INFILL}", param="suffix")
        texts = [self._tokenizer.encode(text, add_special_tokens=False) for text in (prefix, suffix)]
        before, after, between = (vocabulary[name] for name in found)
        return [*self._tokenizer.encode("")[:1], before, *texts[0], after, *texts[1], between]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of the tokens, without special tokens."""
        text = self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def text_of(self, token: int) -> str:
        """Return one token's own text, special tokens included."""
        return self._cached(token)

    def _raw(self, tokens: Sequence[int]) -> str:
        text = self._tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False)
        return str(text)

    def _text_of(self, token: int) -> str:
        return self._raw([*self._anchor, token])[len(self._anchor_text) :]
