"""A response as it is told to clients. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quickthaw.types import Usage
from quickthaw_platform.gateway.responses.schema import ResponseRequest

INPUT_FIELDS = frozenset({"input", "include", "stream", "stream_options", "metadata", "model"})
"""Fields of the request that a response does not repeat, or that it has from elsewhere."""

_REPEATED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_retention": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": (),
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, and what stands there for what was not sent."""

_ONLY_AS_SENT = ("prompt_cache_key", "safety_identifier")
"""What a response repeats of its request and else leaves out: OpenAI's description has no null for these."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What is known of a response before anything of it was said."""

    id: str
    created_at: int  # seconds since the epoch
    model: str
    request: Mapping[str, Any]  # the fields that were sent, but those in INPUT_FIELDS
    metadata: Mapping[str, str]

    @property
    def background(self) -> bool:
        """Whether it goes on though nobody waits for it."""
        return bool(self.request.get("background"))

    @property
    def summarises(self) -> bool:
        """Whether thoughts are to come as the summary of their item."""
        asked = self.request.get("reasoning") or {}
        return bool(asked.get("summary") or asked.get("generate_summary"))

    def body(
        self,
        status: str,
        output: Sequence[Mapping[str, Any]],
        *,
        usage: Usage | None = None,
        thoughts: int = 0,
        error: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the response with this status and output; `thoughts`: how many tokens of it were thoughts."""
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "status": status,
            "background": self.background,
            "error": dict(error) if error is not None else None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "metadata": dict(self.metadata),
            "model": self.model,
            "output": list(output),
            "reasoning": {"effort": None, "summary": None, **(self.request.get("reasoning") or {})},
            "service_tier": "default",
            "text": {"format": {"type": "text"}, "verbosity": "medium", **(self.request.get("text") or {})},
            **{name: self.request.get(name, default) for name, default in _REPEATED.items()},
            **{name: self.request[name] for name in _ONLY_AS_SENT if name in self.request},
            "usage": _usage(usage, thoughts) if usage is not None else None,
        }


def repeated(request: ResponseRequest) -> dict[str, Any]:
    """Return the fields that were sent, as a stored response keeps them."""
    return request.model_dump(exclude_unset=True, exclude_none=True, exclude=set(INPUT_FIELDS))


def _usage(usage: Usage, thoughts: int) -> dict[str, Any]:
    details: dict[str, Any] = {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0}
    if usage.compression is not None:
        details |= {"original_tokens": usage.original_tokens, "compression": usage.compression}
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": details,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": thoughts},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
