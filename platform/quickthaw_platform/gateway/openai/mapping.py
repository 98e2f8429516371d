"""OpenAI's requests into calls of functions, and events of invocations into what its answers are made of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from quickthaw.generation import Delta, TokenLogprob
from quickthaw.types import Compression, Event, EventType, Handler, Usage
from quickthaw_platform.errors import InvalidRequest, NotServable
from quickthaw_platform.gateway.json_pieces import written
from quickthaw_platform.gateway.openai.prompt_messages import plain_messages
from quickthaw_platform.gateway.openai.sampling import sampling_of
from quickthaw_platform.gateway.openai.schema import ChatRequest, CompletionRequest, OpenAIRequest
from quickthaw_platform.gateway.openai.structure import structure_of
from quickthaw_platform.gateway.openai.tools import check_choice, is_legacy, options_of
from quickthaw_platform.gateway.request_fields import Endpoint, check_fields
from quickthaw_platform.gateway.sse import compact
from quickthaw_platform.gateway.structure_check.places import NATIVE, Places
from quickthaw_platform.gateway.turns import give_way, in_turns

LEGACY_MAX_TOKENS = 16
"""OpenAI's default for `/v1/completions`."""

MAX_PROMPTS = 128


@dataclass(frozen=True, slots=True)
class Call:
    """What an invocation carries: the handler's arguments, and the fields that the caller set of Sampling and
    ChatOptions. `places` says where the caller wrote what of these is checked further.
    """

    input: Mapping[str, Any]
    sampling: Mapping[str, Any]
    chat: Mapping[str, Any] = field(default_factory=dict)
    places: Places = NATIVE
    compress: Compression | Literal[False] | None = None


def split_model(model: str) -> tuple[str, str | None]:
    """Read a model id: `function`, or `function:alias`."""
    name, colon, alias = model.partition(":")
    return name, alias if colon else None


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
    takes = parameters(handler)
    if argument not in takes and handler.parameters.get("additionalProperties") is not True:
        raise NotServable(
            f"the handler of {function!r} takes {', '.join(sorted(takes)) or 'no arguments'}, but no {argument!r}; "
            f"call it by /v1/functions/{function}/invoke",
            param="model",
        )


def chat_call(request: ChatRequest, handler: Handler | None, own_tools: Sequence[Mapping[str, Any]] = ()) -> Call:
    """Map a chat request; `own_tools` are those that the function itself shows to the model."""
    give_way()
    check_fields(Endpoint.CHAT, request.model_extra or {}, parameters(handler))
    sampling = sampling_of(request)
    if request.max_completion_tokens is not None:
        sampling["max_tokens"] = request.max_completion_tokens
    if request.top_logprobs and not request.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs: true", param="top_logprobs")
    if request.logprobs:
        sampling["logprobs"] = request.top_logprobs or 0
    options = options_of(request)
    if handler is None:
        check_choice(options, own_tools)
    tools = "functions.{}.parameters" if is_legacy(request) else "tools.{}.function.parameters"
    places = replace(_structured(request, sampling, tools), max_tokens=_longest(request))
    messages = plain_messages(request.messages)
    give_way()
    named = _named(request, sampling, handler)
    return Call({**named, "messages": messages}, sampling, options, places, compression_of(request.compress, handler))


def completion_calls(
    request: CompletionRequest, handler: Handler | None, default_max_tokens: int | None = LEGACY_MAX_TOKENS
) -> list[Call]:
    """Map a completion request: one call for each prompt.

    `default_max_tokens` holds where the request names none; None: the function has its own.
    """
    give_way()
    takes = parameters(handler)
    check_fields(Endpoint.COMPLETIONS, request.model_extra or {}, takes)
    sampling = sampling_of(request)
    if default_max_tokens is not None:
        sampling.setdefault("max_tokens", default_max_tokens)
    if request.logprobs is not None:
        sampling["logprobs"] = request.logprobs
    if request.echo:
        sampling["echo"] = True
    if chosen_from(request) is not None:
        sampling = {**sampling, "n": request.best_of, "logprobs": request.logprobs or 0}
    places = replace(_structured(request, sampling), max_tokens=_longest(request))
    named = _named(request, sampling, handler) | _suffix(request, handler)
    compress = compression_of(request.compress, handler)
    return [
        Call({**named, "prompt": prompt}, sampling, places=places, compress=compress)
        for prompt in _prompts(request.prompt)
    ]


def chosen_from(request: CompletionRequest) -> int | None:
    """Return how many answers are made of which the best are returned; None: as many as are returned."""
    n, best_of = request.n or 1, request.best_of
    if best_of is None or best_of == n:
        return None
    if best_of < n:
        raise InvalidRequest(f"best_of must be at least n, which is {n}", param="best_of")
    if request.stream:
        raise InvalidRequest(
            "the best of several answers cannot be streamed: leave out best_of or stream", param="best_of"
        )
    return best_of


def piece(event: Event, chunks_before: int) -> Delta | None:
    """Return the text that an event adds to an answer; a plain result counts where no chunk came before it."""
    if event.type is EventType.CHUNK:
        return _delta(event.data["delta"]) if "delta" in event.data else Delta(text_of(event.data["value"]))
    if event.type is EventType.RESULT and not chunks_before:
        return Delta(text_of(event.data.get("value")))
    return None


def _delta(body: dict[str, Any]) -> Delta:
    """Read a piece; the one that echoes a prompt may have thousands of log-probabilities."""
    entries = body.get("logprobs") or ()
    delta = Delta.from_json({**body, "logprobs": ()} if entries else body)
    return replace(delta, logprobs=tuple(map(TokenLogprob.from_json, in_turns(entries)))) if entries else delta


def text_of(value: Any) -> str:
    """Return a handler's output as text: strings as they are, nothing for None, all else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else written(value, compact)


def usage_json(usages: Iterable[Usage]) -> dict[str, Any]:
    """Add up usages in OpenAI's form."""
    found = tuple(usages)
    prompt, completion = sum(u.prompt_tokens for u in found), sum(u.completion_tokens for u in found)
    compressed = next((u.compression for u in found if u.compression is not None), None)
    original = {"original_tokens": prompt + sum(u.saved_tokens for u in found), "compression": compressed}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": sum(u.cached_tokens for u in found),
            **({} if compressed is None else original),
        },
    }


def parameters(handler: Handler | None) -> Mapping[str, Any]:
    """Return the arguments of a handler, by name; none without one."""
    found = handler.parameters.get("properties", {}) if handler else {}
    return found if isinstance(found, dict) else {}


def compression_of(
    asked: Compression | Literal[False] | None, handler: Handler | None
) -> Compression | Literal[False] | None:
    """Return what a request says of compression; a handler with an argument of that name has it for itself."""
    return None if "compress" in parameters(handler) else asked


def _structured(request: OpenAIRequest, sampling: dict[str, Any], tools: str = "") -> Places:
    """Put the structure that is asked for among the sampling fields; returns where the caller wrote it and tools."""
    asked = structure_of(request)
    if asked is None:
        return Places(tool=tools)
    place, sampling["structure"] = asked
    return Places(structure=place, tool=tools)


def _longest(request: OpenAIRequest) -> str:
    """Return the name by which the request says how long an answer may be."""
    names = ("max_completion_tokens", "max_tokens", "n_predict")
    return next((name for name in names if getattr(request, name, None) is not None), "max_tokens")


def _suffix(request: CompletionRequest, handler: Handler | None) -> dict[str, Any]:
    """Return the handler's argument for the text behind the answer."""
    if not request.suffix:
        return {}
    if request.echo:
        raise InvalidRequest("suffix and echo exclude each other", param="suffix")
    if handler is not None and "suffix" not in parameters(handler):
        raise InvalidRequest("the function's handler takes no suffix", param="suffix")
    return {"suffix": request.suffix}


def _named(request: OpenAIRequest, sampling: Mapping[str, Any], handler: Handler | None) -> dict[str, Any]:
    """Return those fields of the request that the handler has as arguments."""
    if handler is None:
        return {}
    others = {"messages", "prompt"}
    sent = {**request.model_dump(exclude_unset=True, exclude_none=True, by_alias=True, exclude=others), **sampling}
    return {name: sent[name] for name in parameters(handler) if name in sent}


def _prompts(prompt: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]] | None) -> list[Any]:
    if prompt is None:
        return [""]  # the beginning of a document, as OpenAI has it
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
