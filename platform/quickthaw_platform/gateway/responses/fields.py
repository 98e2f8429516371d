"""Checks what of a request for a response is served; the table is in request_fields.toml. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.request_fields import Endpoint, Treatment, check_fields, fields_of
from quickthaw_platform.gateway.responses.schema import LOGPROBS, InputRequest, ResponseRequest

INCLUDABLE = frozenset(
    {
        LOGPROBS, "reasoning.encrypted_content", "file_search_call.results", "web_search_call.results",
        "web_search_call.action.sources", "message.input_image.image_url", "computer_call_output.output.image_url",
        "code_interpreter_call.outputs",
    }
)  # fmt: skip
"""Values of `include`. Thoughts are in their items as they are, and the tools of the others are not served."""


def check_request(request: InputRequest, arguments: Iterable[str]) -> None:
    """Raise InvalidRequest, naming the field, where one would be ignored that may change the answer.

    `arguments` of the handler take fields of their name.
    """
    check_fields(Endpoint.RESPONSES, _sent(request), arguments)
    if not isinstance(request, ResponseRequest):
        return
    strange = next((name for name in request.include or () if name not in INCLUDABLE), None)
    if strange is not None:
        raise InvalidRequest(
            f"include: {strange!r} is not known; known: {', '.join(sorted(INCLUDABLE))}", param="include"
        )
    if request.background and not request.stored:
        raise InvalidRequest("background needs store: true, or nobody could ask for the answer", param="background")


def passed_on(request: InputRequest, arguments: Iterable[str]) -> dict[str, Any]:
    """Return those of the fields beyond OpenAI's own that mean the same in a chat request."""
    table, taken = fields_of(Endpoint.CHAT), set(arguments)
    return {
        name: value
        for name, value in (request.model_extra or {}).items()
        if name in taken or (name in table and table[name].treatment is Treatment.HONOURED)
    }


def _sent(request: InputRequest) -> dict[str, Any]:
    """Return the fields that the models do not declare, and those within others by their path."""
    sent: dict[str, Any] = dict(request.model_extra or {})
    for name in ("text", "reasoning", "stream_options"):
        if (inner := getattr(request, name, None)) is not None:
            fields = inner if isinstance(inner, dict) else inner.model_dump(exclude_unset=True)
            sent |= {f"{name}.{field}": value for field, value in fields.items()}
    return sent
