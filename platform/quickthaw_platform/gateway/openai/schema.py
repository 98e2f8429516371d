"""What OpenAI's clients send: null means unset. Fields that are not here are looked up in request_fields.toml."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from quickthaw.generation import AS_MANY_AS_FIT, MAX_CHOICES, MAX_STOPS
from quickthaw.numbers import Integer, Number
from quickthaw.types import CompressOrNot
from quickthaw_platform.gateway.labels import Metadata
from quickthaw_platform.gateway.many import Many
from quickthaw_platform.gateway.openai.request_parts import (
    AllowedToolsChoice,
    ChatMessage,
    FunctionDefinition,
    FunctionName,
    JsonSchema,
    Loose,
    ResponseFormat,
    StreamOptions,
    StructuredOutputs,
    Tool,
    ToolReference,
)

Stop = str | Annotated[list[str], Field(max_length=MAX_STOPS)] | None
MaxTokens = Annotated[Integer, Field(ge=AS_MANY_AS_FIT, description="-1: as many as the context holds")]
TokenId = Annotated[int, Field(ge=0)]
Tokens = Many[TokenId]


class OpenAIRequest(Loose):
    """Fields that the text-generating endpoints share."""

    model: str = Field(description="name of a function, or name:alias")
    max_tokens: MaxTokens | None = None
    temperature: Number | None = Field(None, ge=0, le=2)
    top_p: Number | None = Field(None, ge=0, le=1, description="0: the likeliest token alone")
    top_k: Integer | None = Field(None, ge=-1, description="-1 and 0: all")
    min_p: Number | None = Field(None, ge=0, le=1)
    n: Integer | None = Field(None, ge=1, le=MAX_CHOICES)
    stop: Stop = None
    seed: Integer | None = Field(None, ge=-(2**63), lt=2**63)
    frequency_penalty: Number | None = Field(None, ge=-2, le=2)
    presence_penalty: Number | None = Field(None, ge=-2, le=2)
    repetition_penalty: Number | None = Field(None, gt=0, le=10)
    ignore_eos: bool | None = None
    logit_bias: dict[str, float] | Many[tuple[TokenId, float]] | None = Field(None, description="by token id")
    min_tokens: Integer | None = Field(None, ge=0)
    stop_token_ids: Annotated[Tokens, Field(max_length=128)] | None = None
    include_stop_str_in_output: bool | None = None
    truncate_prompt_tokens: Integer | None = Field(None, ge=-1)
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: JsonSchema | str | None = None
    guided_regex: str | None = None
    guided_choice: Many[str] | None = None
    guided_grammar: str | None = None
    grammar: str | None = None
    json_schema: JsonSchema | None = None
    n_predict: MaxTokens | None = None
    repeat_penalty: Number | None = Field(None, gt=0, le=10)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    compress: CompressOrNot | None = Field(
        None, description="how long texts of the prompt are shortened; false: not at all; null: as the function has it"
    )


class ChatRequest(OpenAIRequest):
    """Body of `POST /v1/chat/completions`."""

    messages: Many[ChatMessage] = Field(min_length=1)
    max_completion_tokens: MaxTokens | None = None
    logprobs: bool | None = None
    top_logprobs: Integer | None = Field(None, ge=0, le=20)
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | AllowedToolsChoice | ToolReference | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[FunctionDefinition], Field(min_length=1, max_length=128)] | None = None
    function_call: Literal["none", "auto"] | FunctionName | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    documents: Many[dict[str, Any]] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    store: bool | None = None
    metadata: Metadata | None = None


class CompletionRequest(OpenAIRequest):
    """Body of `POST /v1/completions`."""

    prompt: str | Many[str] | Tokens | Many[Tokens] | None = Field(
        description="one prompt or several, as text or token ids; null: a document's beginning"
    )
    logprobs: Integer | None = Field(None, ge=0, le=20)
    echo: bool | None = None
    best_of: Integer | None = Field(None, ge=1, le=MAX_CHOICES)
    suffix: str | None = None


class EmbeddingRequest(Loose):
    """Body of `POST /v1/embeddings`."""

    model: str = Field(description="name of a function, or name:alias")
    input: str | Many[str] | Tokens | Many[Tokens] = Field(description="one text or several, or their token ids")
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Integer | None = Field(None, ge=1)


class PromptTokensDetails(BaseModel):
    """Of the prompt's tokens, those that were not computed, because their keys and values were there."""

    cached_tokens: int = 0
    original_tokens: int | None = Field(None, description="what prompt_tokens would be without compression")
    compression: str | None = Field(None, description="`compressed`, or the code of why the prompt was sent as it was")


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
