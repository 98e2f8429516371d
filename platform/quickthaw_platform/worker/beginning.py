"""What the prompts of a function version begin with, and the tokens that all of them then share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import takewhile
from typing import Any

from quickthaw.generation import ChatOptions
from quickthaw.types import FunctionSpec
from quickthaw_platform.contracts import Tokenizer

CONTINUATIONS = ("The", "1", "é", '"{')
"""What a user might say first: of different kinds, so that no token at the border is shared by all by accident."""

AFTER_TEXT = (*CONTINUATIONS, " the", "\n", ".")
"""The same for a text that goes on: a word, a digit or a sign may merge with what stands before it."""


LEAST_PLAIN_TOKENS = 12
"""A plain chat whose template puts fewer tokens before the user's words is not worth a process of its own."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Either a chat's (`system`, `tools`), a text's (`prefix`), or tokens that were learnt from calls.

    With none of these it is that of a plain chat: what the model's chat template puts before the user's first words.
    """

    system: str | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    prefix: str | None = None
    tokens: tuple[int, ...] = ()

    @classmethod
    def of(cls, spec: FunctionSpec) -> Beginning | None:
        """Return what a function names; None: nothing."""
        if spec.system is None and spec.tools is None and spec.prefix is None:
            return None
        return cls(spec.system, spec.tools or (), spec.prefix)

    @classmethod
    def from_frame(cls, body: Mapping[str, Any]) -> Beginning:
        """Read what `frame` wrote."""
        return cls(body["system"], tuple(body["tools"]), body["prefix"], tuple(body["tokens"]))

    def frame(self) -> dict[str, Any]:
        """Return it as it travels to a template."""
        return {
            "system": self.system,
            "tools": [dict(tool) for tool in self.tools],
            "prefix": self.prefix,
            "tokens": list(self.tokens),
        }

    @property
    def digest(self) -> str:
        """16 hex digits, the same for equal beginnings."""
        return sha256(json.dumps(self.frame(), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def learnt(self) -> bool:
        """Whether it was learnt from calls, and not named by whoever deployed the function."""
        return bool(self.tokens)

    @property
    def plain(self) -> bool:
        """Whether it is that of a plain chat, which nobody named and no call taught."""
        return self == PLAIN_CHAT

    def tokens_by(self, tokenizer: Tokenizer) -> tuple[int, ...]:
        """Return the tokens that every such prompt begins with: what prompts that go on differently have in common.

        So it does not matter which tokens merge at the border. Pure but for the tokenizer, whose InvalidRequest for
        messages that do not suit the model is raised.
        """
        if self.tokens:
            return self.tokens
        if self.prefix is not None:
            return common_prefix([tokenizer.encode(self.prefix + text) for text in AFTER_TEXT])
        first = [] if self.system is None else [{"role": "system", "content": self.system}]
        chats = ([*first, {"role": "user", "content": text}] for text in CONTINUATIONS)
        options = ChatOptions(tools=tuple(dict(tool) for tool in self.tools))
        return common_prefix([tokenizer.chat(messages, options).tokens for messages in chats])


PLAIN_CHAT = Beginning()


def common_prefix(sequences: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return what all sequences begin with; of one alone all of it, of none nothing."""
    columns = takewhile(lambda column: len(set(column)) == 1, zip(*sequences, strict=False))
    return tuple(column[0] for column in columns)


def file_digest(engine: str, options: Mapping[str, Any], build: str, processor: str, tokens: Sequence[int]) -> str:
    """Return 32 hex digits that differ wherever keys and values may differ by a bit, checkpoints apart."""
    text = json.dumps([engine, dict(options), build, processor, list(tokens)], sort_keys=True)
    return sha256(text.encode()).hexdigest()[:32]
