"""What a call of a function may say besides its input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from quickthaw.choosing import tool_choice_fields
from quickthaw.errors import InvalidRequest
from quickthaw.generation import ChatOptions, Sampling
from quickthaw.resources import Webhook
from quickthaw.shape import shape_of
from quickthaw.tool import definitions
from quickthaw.types import Compression, Limits


class CallOptions(TypedDict, total=False):
    """What a call of a function may say besides its input."""

    sampling: Sampling | Mapping[str, Any] | None  # only the fields that are set count
    chat: ChatOptions | Mapping[str, Any] | None  # likewise; `tools` may be Python functions, which are described
    response_format: Any  # what the answer must be: a type that Pydantic knows, OpenAI's object, or a Structure
    alias: str | None  # None: live
    webhook: Webhook | Mapping[str, Any] | None
    limits: Limits | Mapping[str, Any] | None  # only the fields that are set count
    compress: Compression | Mapping[str, Any] | float | Literal[False] | None  # None: as the function has it
    idempotency_key: str | None  # None: a fresh one


def request_fields(options: CallOptions) -> dict[str, Any]:
    """Return the fields of an InvokeRequest that the options set. Raises InvalidRequest, naming the field."""
    fields = {option: value for option, value in options.items() if value is not None}
    response_format = fields.pop("response_format", None)
    if response_format is not None:
        fields["sampling"] = _with_structure(_set_fields(fields.get("sampling", {})), response_format)
    if "chat" in fields:
        fields["chat"] = _chat(_set_fields(fields["chat"]))
    return fields


def _set_fields(record: Any) -> dict[str, Any]:
    if isinstance(record, Sampling | ChatOptions):
        return record.model_dump(exclude_unset=True)
    return dict(record)


def _with_structure(sampling: dict[str, Any], response_format: Any) -> dict[str, Any]:
    if sampling.get("structure") is not None:
        raise InvalidRequest("response_format and structure say the same; give one of them", param="response_format")
    structure = shape_of(response_format).structure
    return sampling if structure is None else {**sampling, "structure": structure}


def _chat(chat: dict[str, Any]) -> dict[str, Any]:
    if chat.get("tools") is not None:
        chat["tools"] = definitions(chat["tools"])
    return {**chat, **tool_choice_fields(chat.get("tool_choice"))}
