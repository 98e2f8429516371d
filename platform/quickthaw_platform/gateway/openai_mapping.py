"""OpenAI's requests into calls of functions, and events of invocations into what its answers are made of. Pure."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from quickthaw.generation import Delta
from quickthaw.types import Event, EventType, Handler, Usage
from quickthaw_platform.errors import HandlerFailed, InvalidRequest, NotServable
from quickthaw_platform.gateway.openai_schema import (
    ChatMessage,
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    OpenAIRequest,
)
from quickthaw_platform.gateway.sse import compact

LEGACY_MAX_TOKENS = 16
"""OpenAI's default for `/v1/completions`."""

MAX_PROMPTS = 128
_SAMPLING = (
    "max_tokens", "temperature", "top_p", "top_k", "min_p", "n", "stop", "seed", "frequency_penalty",
    "presence_penalty", "repetition_penalty", "ignore_eos",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """What an invocation carries: the handler's arguments, and the fields that the caller set of Sampling and
    ChatOptions.
    """

    input: Mapping[str, Any]
    sampling: Mapping[str, Any]
    chat: Mapping[str, Any] = field(default_factory=dict)


def split_model(model: str) -> tuple[str, str | None]:
    """Read a model id: `function`, or `function:alias`."""
    name, _, alias = model.partition(":")
    return name, alias or None


def check_serves(function: str, handler: Handler | None, argument: str, task: str | None) -> None:
    """Raise NotServable where the function does not take `argument`; `task` is its checkpoint's, None if unknown."""
    if handler is None:
        embeds = argument == "input"
        if task is not None and embeds != (task == "embed"):
            raise NotServable(
                f"{function!r} runs a model that can {task}; it serves "
                f"{'/v1/embeddings' if task == 'embed' else '/v1/chat/completions and /v1/completions'}",
                param="model",
            )
        return
    takes = _parameters(handler)
    if argument not in takes and handler.parameters.get("additionalProperties") is not True:
        raise NotServable(
            f"the handler of {function!r} takes {', '.join(sorted(takes)) or 'no arguments'}, but no {argument!r}; "
            f"call it by /v1/functions/{function}/invoke",
            param="model",
        )


def chat_call(request: ChatRequest, handler: Handler | None) -> Call:
    """Map a chat request."""
    sampling = _sampling(request)
    if request.max_completion_tokens is not None:
        sampling["max_tokens"] = request.max_completion_tokens
    if request.top_logprobs is not None and not request.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs: true", param="top_logprobs")
    if request.logprobs:
        sampling["logprobs"] = request.top_logprobs or 0
    messages = [plain_message(message) for message in request.messages]
    return Call({**_named(request, sampling, handler), "messages": messages}, sampling)


def completion_calls(request: CompletionRequest, handler: Handler | None) -> list[Call]:
    """Map a completion request: one call for each prompt."""
    sampling = {"max_tokens": LEGACY_MAX_TOKENS, **_sampling(request)}
    if request.logprobs is not None:
        sampling["logprobs"] = request.logprobs
    if request.echo:
        sampling["echo"] = True
    named = _named(request, sampling, handler)
    return [Call({**named, "prompt": prompt}, sampling) for prompt in _prompts(request.prompt)]


def embedding_call(request: EmbeddingRequest, handler: Handler | None) -> Call:
    """Map an embedding request."""
    texts = [request.input] if isinstance(request.input, str) else request.input
    if not texts:
        raise InvalidRequest("input is empty", param="input")
    if not all(isinstance(text, str) for text in texts):
        raise InvalidRequest("input must be text: the tokens of another model mean nothing to this one", param="input")
    named = _parameters(handler) if handler else {}
    extra = {k: v for k, v in (request.model_extra or {}).items() if k in named}
    return Call({**extra, "input": texts}, {})


def plain_message(message: ChatMessage) -> dict[str, Any]:
    """Return a message as chat templates know it: text content, and `system` for the newer `developer`."""
    content = message.content
    if isinstance(content, list):
        strange = next((part.type for part in content if part.type != "text" or part.text is None), None)
        if strange is not None:
            raise InvalidRequest(f"a content part of type {strange!r} is not served; only text is", param="messages")
        content = "".join(part.text or "" for part in content)
    extra = {key: value for key, value in (message.model_extra or {}).items() if value is not None}
    role = "system" if message.role == "developer" else message.role
    return {"role": role, "content": content or "", **extra}


def piece(event: Event, chunks_before: int) -> Delta | None:
    """Return the text that an event adds to an answer; a plain result counts where no chunk came before it."""
    if event.type is EventType.CHUNK:
        return Delta.from_json(event.data["delta"]) if "delta" in event.data else Delta(text_of(event.data["value"]))
    if event.type is EventType.RESULT and not chunks_before:
        return Delta(text_of(event.data.get("value")))
    return None


def text_of(value: Any) -> str:
    """Return a handler's output as text: strings as they are, nothing for None, all else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else compact(value)


def usage_json(usages: Iterable[Usage]) -> dict[str, Any]:
    """Add up usages in OpenAI's form."""
    found = tuple(usages)
    prompt, completion = sum(u.prompt_tokens for u in found), sum(u.completion_tokens for u in found)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": sum(u.cached_tokens for u in found)},
    }


def embedding_response(request: EmbeddingRequest, result: Any, usage: Usage) -> dict[str, Any]:
    """Build the answer from what the handler returned: a vector for each text, or one vector for one text."""
    vectors = _vectors(result, 1 if isinstance(request.input, str) else len(request.input))
    if request.dimensions is not None and any(len(vector) != request.dimensions for vector in vectors):
        raise InvalidRequest(f"this model's vectors have {len(vectors[0])} dimensions", param="dimensions")
    encode = _base64 if request.encoding_format == "base64" else list
    return {
        "object": "list",
        "model": request.model,
        "data": [{"object": "embedding", "index": i, "embedding": encode(vector)} for i, vector in enumerate(vectors)],
        "usage": {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens},
    }


def _sampling(request: OpenAIRequest) -> dict[str, Any]:
    found = {name: value for name in _SAMPLING if (value := getattr(request, name)) is not None}
    if found.get("top_k") == -1:
        found["top_k"] = 0
    return found


def _named(request: OpenAIRequest, sampling: Mapping[str, Any], handler: Handler | None) -> dict[str, Any]:
    """Return those fields of the request that the handler has as arguments."""
    if handler is None:
        return {}
    sent = {**request.model_dump(exclude_unset=True, exclude_none=True), **sampling}
    return {name: sent[name] for name in _parameters(handler) if name in sent and name not in ("messages", "prompt")}


def _parameters(handler: Handler) -> Mapping[str, Any]:
    found = handler.parameters.get("properties", {})
    return found if isinstance(found, dict) else {}


def _prompts(prompt: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]) -> list[Any]:
    if isinstance(prompt, str):
        return [prompt]
    if not prompt:
        raise InvalidRequest("prompt is empty", param="prompt")
    prompts = [prompt] if isinstance(prompt[0], int) else list(prompt)
    if len(prompts) > MAX_PROMPTS:
        raise InvalidRequest(f"{len(prompts)} prompts; at most {MAX_PROMPTS} in one request", param="prompt")
    if not all(prompts_of for prompts_of in prompts if not isinstance(prompts_of, str)):
        raise InvalidRequest("a prompt of token ids is empty", param="prompt")
    return prompts


def _vectors(result: Any, count: int) -> list[list[float]]:
    vectors = [result] if count == 1 and isinstance(result, list) and result and _is_number(result[0]) else result
    if (
        not isinstance(vectors, list)
        or len(vectors) != count
        or not all(isinstance(vector, list) and vector and all(map(_is_number, vector)) for vector in vectors)
    ):
        raise HandlerFailed(f"the handler must return {count} vectors of numbers for {count} texts")
    return vectors


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
