"""The blocks that messages are made of, as Anthropic's clients send them. Null means unset."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from quickthaw_platform.gateway.many import Many

SERVED = ("text", "thinking", "redacted_thinking", "tool_use", "tool_result")
"""Types of blocks."""


class Strict(BaseModel):
    """Base of what a request holds: an unknown field is refused by its path, unless it is null."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, fields: object) -> object:
        if not isinstance(fields, dict) or None not in fields.values():
            return fields
        return {name: value for name, value in fields.items() if value is not None or name in cls.model_fields}


CacheControl = Annotated[
    dict[str, Any] | None,
    Field(description="harmless: prompts that begin alike share what was computed without being told"),
]


def _as_blocks(content: object) -> object:
    """Return a text as a list of one block."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _check_served(block: object) -> object:
    kind = block.get("type") if isinstance(block, dict) else None
    if isinstance(kind, str) and kind not in SERVED:
        raise ValueError(f"a block of type {kind[:100]!r} is not served; only {', '.join(SERVED)} are")
    return block


class TextBlock(Strict):
    """Text."""

    type: Literal["text"]
    text: str
    cache_control: CacheControl = None
    citations: Annotated[list[Any], Field(max_length=0)] | None = None


class ToolUseBlock(Strict):
    """A call of a tool that the assistant made."""

    type: Literal["tool_use"]
    id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    input: dict[str, Any]
    cache_control: CacheControl = None
    caller: dict[str, Any] | None = Field(None, description="harmless: who had it called")


class ThinkingBlock(Strict):
    """What the assistant thought; shown to models whose chat template has a place for it."""

    type: Literal["thinking"]
    thinking: str
    signature: str | None = Field(None, description="harmless: nothing verifies it")


class RedactedThinkingBlock(Strict):
    """What another model thought, in a form that only that one reads; harmless: it is left out."""

    type: Literal["redacted_thinking"]
    data: str


Text = Annotated[TextBlock, BeforeValidator(_check_served)]
Texts = Annotated[Many[Text], BeforeValidator(_as_blocks, json_schema_input_type=str | list[TextBlock])]


class ToolResultBlock(Strict):
    """What a call of a tool came to."""

    type: Literal["tool_result"]
    tool_use_id: str = Field(min_length=1)
    content: Texts | None = None
    is_error: bool | None = Field(None, description='true: the model reads "Error: " before the content')
    cache_control: CacheControl = None


AnyBlock = Annotated[
    TextBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedThinkingBlock, Field(discriminator="type")
]
Block = Annotated[AnyBlock, BeforeValidator(_check_served)]
Blocks = Annotated[Many[Block], BeforeValidator(_as_blocks, json_schema_input_type=str | list[AnyBlock])]


class Message(Strict):
    """A turn of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: Blocks
