"""What clients of OpenAI's Responses send and get: null means unset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from quickthaw.numbers import Integer, Number
from quickthaw_platform.gateway.labels import Metadata
from quickthaw_platform.gateway.many import Many
from quickthaw_platform.gateway.openai.schema import MaxTokens, Streamable

LOGPROBS = "message.output_text.logprobs"

Item = Mapping[str, Any]
"""An item of a conversation: a message, a call of a tool, what that returned, or what a model thought."""


class Loose(BaseModel):
    """Base of what OpenAI defines and may extend; see fields.py."""

    model_config = ConfigDict(frozen=True, extra="allow")


class TextOptions(Loose):
    """What the answer's text must be."""

    format: dict[str, Any] | None = Field(None, description="`type`: text, json_object or json_schema (with `schema`)")
    verbosity: str | None = None


class Reasoning(Loose):
    """How the model thinks before it answers."""

    effort: str | None = Field(None, description="shown by templates that know it")
    summary: str | None = Field(None, description="set: thoughts come as `summary`; else as `content` of their item")
    generate_summary: str | None = Field(None, description="the older name of `summary`")


class InputRequest(Loose):
    """What a response is made from."""

    model: str = Field(description="name of a function, or name:alias")
    input: str | Many[dict[str, Any]] | None = Field(None, description="a text, or items")
    instructions: str | None = Field(None, description="the system message; not carried over to later responses")
    previous_response_id: str | None = Field(None, description="the stored response whose conversation goes on")
    tools: list[dict[str, Any]] | None = Field(None, max_length=128, description="of type `function`")
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    truncation: Literal["auto", "disabled"] | None = Field(
        None, description="auto: of a prompt that is too long, the beginning is left out; else it is an error"
    )


class ResponseRequest(InputRequest):
    """Body of `POST /v1/responses`."""

    store: bool | None = Field(None, description="whether it can be retrieved and continued later; unless set: true")
    background: bool | None = Field(None, description="answer at once; it goes on though the client hangs up")
    metadata: Metadata | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    include: Many[str] | None = Field(None, description=f"`{LOGPROBS}`: log-probabilities of the text's tokens")
    max_output_tokens: MaxTokens | None = None
    temperature: Number | None = Field(None, ge=0, le=2)
    top_p: Number | None = Field(None, ge=0, le=1)
    top_logprobs: Integer | None = Field(None, ge=0, le=20)

    @property
    def stored(self) -> bool:
        """Whether it is kept."""
        return self.store is not False


class ResponseObject(Streamable):
    """A response."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    model: str
    output: list[dict[str, Any]]
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    incomplete_details: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None


class ItemList(BaseModel):
    """A page of items."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ResponseDeleted(BaseModel):
    """Answer of `DELETE /v1/responses/{response_id}`."""

    id: str
    object: Literal["response"]
    deleted: bool


class InputTokens(BaseModel):
    """Answer of `POST /v1/responses/input_tokens`."""

    object: Literal["response.input_tokens"]
    input_tokens: int
