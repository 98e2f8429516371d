"""A Hugging Face tokenizer behind the contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from quickthaw.errors import InvalidRequest, NotServable
from quickthaw.generation import ChatOptions
from quickthaw_backends.engines.chat_templates import NO_TEMPLATE, ChatTemplate, chat_prompt
from quickthaw_backends.engines.end_tokens import mark_at_start
from quickthaw_backends.engines.infill import INFILL_MARKS, NO_INFILL
from quickthaw_backends.engines.pieces import piece_bytes
from quickthaw_backends.engines.texts import marks_among
from quickthaw_platform.contracts import Prompt

_CACHED_TOKENS = 65536
_PANIC = "PanicException"
"""What a library in Rust raises where it gives up, such as a pattern of the tokenizer that tries too much: it is no
Exception, and has no name to import.
"""

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


@contextmanager
def panics_refused() -> Iterator[None]:
    """Raise InvalidRequest where the library gives up on a text."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        raise InvalidRequest(f"the model's tokenizer cannot read this text: {error}") from error


class HfTokenizer:
    """Implements `contracts.Tokenizer` with the tokenizer of a checkpoint's folder."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        # An anchor before a token keeps decoders from dropping the space that the token begins with.
        self._anchor = self._tokenizer.encode("a", add_special_tokens=False)[-1:]
        self._anchor_text = self._raw(self._anchor)
        self._cached = lru_cache(maxsize=_CACHED_TOKENS)(self._text_of)
        self._cached_bytes = lru_cache(maxsize=_CACHED_TOKENS)(self._bytes_of)
        with suppress(InvalidRequest):  # whoever sends a conversation hears of it
            _ = self._template, self._tool_template

    @property
    def fast(self) -> object:
        """The library's own tokenizer."""
        return self._tokenizer

    @property
    def eos(self) -> frozenset[int]:
        """The tokens that end a text by the tokenizer's own word, and those that end a turn in its chat templates."""
        token = self._tokenizer.eos_token_id
        ends = frozenset() if token is None else frozenset({token})
        return ends.union(*(mark_at_start(template.after_answer, self._marks) for template in self._templates))

    @property
    def _marks(self) -> dict[str, int]:
        """Special tokens by their texts, but for the one that begins a text."""
        added = self._tokenizer.added_tokens_decoder
        begin = self._tokenizer.bos_token_id
        return {str(mark.content): token for token, mark in added.items() if token != begin}

    @property
    def _templates(self) -> list[ChatTemplate]:
        """The templates that can be read."""
        found: list[ChatTemplate | None] = []
        with suppress(InvalidRequest):
            found += [self._template, self._tool_template]
        return [template for template in found if template is not None]

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a plain text, with the special tokens that the model expects at its start."""
        return self._encode(text, add_special_tokens=True)

    def chat(self, messages: Sequence[Mapping[str, Any]], options: ChatOptions | None = None) -> Prompt:
        """Render a conversation with the model's chat template and encode it; InvalidRequest where that fails."""
        template = self._tool_template if options and options.tools else self._template
        if template is None:
            raise InvalidRequest(NO_TEMPLATE, param="messages")
        return chat_prompt(template.render(messages, options), self._encode, self.decode)

    def infill(self, prefix: str, suffix: str) -> list[int]:
        """Return the prompt that asks for the text between two others, with the marks that the vocabulary has."""
        vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        found = next((names for names in INFILL_MARKS if all(name in vocabulary for name in names)), None)
        if found is None:
            raise NotServable(f"this model {NO_INFILL}", param="suffix")
        texts = [self._encode(text) for text in (prefix, suffix)]
        before, after, between = (vocabulary[name] for name in found)
        return [*self._tokenizer.encode("")[:1], before, *texts[0], after, *texts[1], between]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of the tokens, without special tokens."""
        text = self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def text_of(self, token: int) -> str:
        """Return one token's own text, special tokens included."""
        return self._cached(token)

    def bytes_of(self, token: int) -> bytes:
        """Return what one token adds to a text, in UTF-8: perhaps a part of a character; of a special token nothing."""
        return self._cached_bytes(token)

    def marks_in(self, text: str) -> dict[int, str]:
        """Return the special tokens whose texts stand in a text, each with its own."""
        return marks_among(self._encode(text), self)

    @cached_property
    def _template(self) -> ChatTemplate | None:
        return self._compiled("default")

    @cached_property
    def _tool_template(self) -> ChatTemplate | None:
        """The template for conversations with tools, where there are several."""
        return self._compiled("tool_use") if "tool_use" in self._sources else self._template

    @property
    def _sources(self) -> Mapping[str, str]:
        """The templates by name."""
        found = self._tokenizer.chat_template
        return found if isinstance(found, Mapping) else {"default": found} if found else {}

    def _compiled(self, name: str) -> ChatTemplate | None:
        special = {key: str(value) for key, value in self._tokenizer.special_tokens_map.items()}
        return ChatTemplate(self._sources[name], special) if name in self._sources else None

    def _encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        with panics_refused():
            tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return tokens

    def _raw(self, tokens: Sequence[int]) -> str:
        text = self._tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False)
        return str(text)

    def _text_of(self, token: int) -> str:
        return self._raw([*self._anchor, token])[len(self._anchor_text) :]

    def _bytes_of(self, token: int) -> bytes:
        if self.decode([*self._anchor, token]) == self.decode(self._anchor):
            return b""
        text = self.text_of(token)
        if _INCOMPLETE not in text:
            return text.encode()
        return piece_bytes(str(self._tokenizer.convert_ids_to_tokens(token)))
