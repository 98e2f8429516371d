"""Where requests go, and what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from quickthaw.config import Endpoint
from quickthaw_platform.errors import InvalidRequest

CHAT_PATH = "/v1/chat/completions"
IGNORE_EOS: Mapping[str, Any] = {"ignore_eos": True}
"""Answers have just as many tokens as the plan says; quickthaw, vLLM and SGLang know it, OpenAI refuses it."""


@dataclass(frozen=True, slots=True)
class Target:
    """An OpenAI-compatible endpoint and a model there. `extra` are more fields of each request's body.

    A `path` that ends with /chat/completions takes messages, any other a prompt.
    """

    url: str
    model: str
    path: str = CHAT_PATH
    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidRequest(f"{self.url!r} is not the URL of an endpoint; it begins with http:// or https://")

    @classmethod
    def quickthaw(cls, endpoint: Endpoint, model: str) -> Target:
        """Return a function (or function:alias) behind a gateway."""
        return cls(endpoint.url, model, api_key=endpoint.api_key, extra=IGNORE_EOS)

    @property
    def address(self) -> str:
        """The whole URL that requests go to; a `url` that ends with /v1, as OpenAI's clients write it, is fine."""
        base = self.url.rstrip("/")
        return (base.removesuffix("/v1") if self.path.startswith("/v1/") else base) + self.path

    def all_headers(self) -> dict[str, str]:
        """Return what every request carries."""
        key = {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}
        plain = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}  # compressing holds tokens back
        return {"Content-Type": "application/json", **plain, **key, **self.headers}

    def body(self, text: str, tokens_out: int) -> bytes:
        """Return the body of a streaming request."""
        chat = self.path.endswith("/chat/completions")
        asked = {"messages": [{"role": "user", "content": text}]} if chat else {"prompt": text}
        fields = {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": tokens_out}
        return json.dumps({"model": self.model, **asked, **fields, **self.extra}).encode()
