"""What OpenAI's clients send: unknown fields are accepted, null means unset."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Stop = str | Annotated[list[str], Field(max_length=16)] | None
Tokens = list[Annotated[int, Field(ge=0)]]


class Loose(BaseModel):
    """Base of what OpenAI defines and may extend."""

    model_config = ConfigDict(frozen=True, extra="allow")


class StreamOptions(Loose):
    """Of `stream`."""

    include_usage: bool | None = Field(None, description="one more chunk at the end, with the usage")


class OpenAIRequest(Loose):
    """Fields that the text-generating endpoints share."""

    model: str = Field(description="name of a function, or name:alias")
    max_tokens: int | None = Field(None, ge=0)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1, description="-1 and 0: all")
    min_p: float | None = Field(None, ge=0, le=1)
    n: int | None = Field(None, ge=1, le=16)
    stop: Stop = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    ignore_eos: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


class ContentPart(Loose):
    """A part of a message; only text is served."""

    type: str
    text: str | None = None


class ChatMessage(Loose):
    """A message of a conversation."""

    role: str = Field(min_length=1)
    content: str | list[ContentPart] | None = None


class ChatRequest(OpenAIRequest):
    """Body of `POST /v1/chat/completions`."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=0)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)


class CompletionRequest(OpenAIRequest):
    """Body of `POST /v1/completions`."""

    prompt: str | list[str] | Tokens | list[Tokens] = Field(description="one prompt or several, as text or token ids")
    logprobs: int | None = Field(None, ge=0, le=20)
    echo: bool | None = None


class EmbeddingRequest(Loose):
    """Body of `POST /v1/embeddings`."""

    model: str = Field(description="name of a function, or name:alias")
    input: str | list[str] | Tokens | list[Tokens] = Field(description="one text or several")
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(None, ge=1)


class PromptTokensDetails(BaseModel):
    """Of the prompt's tokens, those that were not computed, because their keys and values were there."""

    cached_tokens: int = 0


class OpenAIUsage(BaseModel):
    """Tokens in and out."""

    prompt_tokens: int
    completion_tokens: int = 0
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | None = None


_STREAMED = {"content": {"text/event-stream": {"schema": {"description": "OpenAI's chunks, then `[DONE]`"}}}}


class Streamable(BaseModel):
    """Base of answers that come as server-sent events where the request says `stream: true`."""

    model_config = ConfigDict(openapi_extra=_STREAMED)  # type: ignore[typeddict-unknown-key]  # for flask_openapi3


class ChatCompletion(Streamable):
    """Answer of `POST /v1/chat/completions`."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: OpenAIUsage


class Completion(Streamable):
    """Answer of `POST /v1/completions`."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: OpenAIUsage


class EmbeddingList(BaseModel):
    """Answer of `POST /v1/embeddings`."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    model: str
    usage: OpenAIUsage
