"""What Anthropic's clients send to `/v1/messages`, and what they get. Null means unset."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from quickthaw.generation import MAX_STOPS
from quickthaw.numbers import Integer, Number
from quickthaw.types import CompressOrNot
from quickthaw_platform.gateway.many import Many
from quickthaw_platform.gateway.messages.blocks import CacheControl, Message, Strict, Texts
from quickthaw_platform.gateway.openai.schema import MaxTokens

MODEL = "name of a function, or name:alias"


def _check_custom(tool: object) -> object:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if isinstance(kind, str) and kind != "custom":
        raise ValueError(f"a tool of type {kind[:100]!r} would run on the server; only custom tools are served")
    return tool


def _check_some(max_tokens: int) -> int:
    if max_tokens == 0:
        raise ValueError("must be at least 1, or -1 for as many as the context holds")
    return max_tokens


class Tool(Strict):
    """A function that the model may call, and the client runs."""

    type: Literal["custom"] | None = None
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = Field(None, description="calls follow the schema whatever it says")
    cache_control: CacheControl = None
    eager_input_streaming: bool | None = Field(None, description="harmless: inputs are streamed as they come")
    defer_loading: Literal[False] | None = None
    allowed_callers: Many[Literal["direct"]] | None = None


class ToolChoice(Strict):
    """Whether there must be calls, and of which tool."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = Field(None, description="of type tool: which one")
    disable_parallel_tool_use: bool | None = None


class Thinking(Strict):
    """Whether the model thinks before it answers, where its chat template lets one choose (`enable_thinking`)."""

    type: Literal["enabled", "disabled", "adaptive"] = Field(description="adaptive: as the template has it")
    budget_tokens: Integer | None = Field(None, ge=1, description="harmless: only max_tokens bounds it")
    display: Literal["summarized", "omitted"] | None = Field(
        None, description="omitted: its blocks are empty; summarized: they hold all of it"
    )


class JsonFormat(Strict):
    """What the answer must be: JSON that a schema allows."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Strict):
    """How the answer is to be."""

    format: JsonFormat | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = Field(
        None, description="shown to models whose chat template knows it"
    )


class Conversation(BaseModel):
    """What both endpoints take. Fields that are not here are looked up in request_fields.toml."""

    model_config = ConfigDict(frozen=True, extra="allow")

    model: str = Field(description=MODEL)
    messages: Many[Message] = Field(min_length=1)
    system: Texts | None = None
    tools: Annotated[list[Annotated[Tool, BeforeValidator(_check_custom)]], Field(max_length=128)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: JsonFormat | None = Field(None, description="the older name of output_config.format")
    compress: CompressOrNot | None = Field(
        None, description="quickthaw's: how long texts are shortened; false: not at all; null: as the function has it"
    )


class MessagesRequest(Conversation):
    """Body of `POST /v1/messages`."""

    max_tokens: Annotated[MaxTokens, AfterValidator(_check_some)]
    stop_sequences: Annotated[list[str], Field(max_length=MAX_STOPS)] | None = None
    temperature: Number | None = Field(None, ge=0, le=1)
    top_p: Number | None = Field(None, ge=0, le=1)
    top_k: Integer | None = Field(None, ge=0, description="0: all")
    stream: bool | None = None


class CountRequest(Conversation):
    """Body of `POST /v1/messages/count_tokens`."""


class MessageUsage(BaseModel):
    """Tokens in and out; all of the prompt is input_tokens and cache_read_input_tokens together."""

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int = Field(description="of the prompt, those whose keys and values were there")
    cache_creation_input_tokens: int = 0
    original_input_tokens: int | None = Field(None, description="all of the prompt, had compression left nothing out")
    compression: str | None = Field(None, description="`compressed`, or the code of why the prompt was sent as it was")


_STREAMED = {"content": {"text/event-stream": {"schema": {"description": "Anthropic's events, to message_stop"}}}}


class MessageAnswer(BaseModel):
    """Answer of `POST /v1/messages`."""

    model_config = ConfigDict(openapi_extra=_STREAMED)  # type: ignore[typeddict-unknown-key]  # for flask_openapi3

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"] | None
    stop_sequence: str | None
    usage: MessageUsage


class TokenCount(BaseModel):
    """Answer of `POST /v1/messages/count_tokens`."""

    input_tokens: int
