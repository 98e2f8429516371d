"""Model output and errors as an instance reports them, checked: gateways and other nodes read them. Pure."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, Strict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from quickthaw_platform.worker.frames import ProtocolError

MOST_CHOICES = 1 << 16

_AS_WRITTEN = ConfigDict(extra="forbid", strict=True)
_Count = Annotated[int, Field(ge=0, lt=1 << 63)]
_Pair = Annotated[tuple[str, float], Strict(False)]  # comes as a list
_Bytes = list[Annotated[int, Field(ge=0, le=255)]] | None


@with_config(_AS_WRITTEN)
class _Entry(TypedDict):
    token: int
    text: str
    logprob: float | None
    top: NotRequired[list[_Pair]]
    top_tokens: NotRequired[list[int]]
    bytes: NotRequired[_Bytes]
    top_bytes: NotRequired[list[_Bytes]]


def _even(entry: _Entry) -> _Entry:
    lengths = {len(part) for part in (entry.get("top_tokens"), entry.get("top_bytes")) if part}
    if lengths - {len(entry.get("top", ()))}:
        raise ValueError("of the likeliest tokens some are told and some are not")
    return entry


@with_config(_AS_WRITTEN)
class _Call(TypedDict):
    index: Annotated[int, Field(ge=0, lt=MOST_CHOICES)]
    id: NotRequired[str]
    name: NotRequired[str]
    arguments: NotRequired[str]


@with_config(_AS_WRITTEN)
class _Delta(TypedDict):
    text: str
    tokens: list[int]
    choice: NotRequired[Annotated[int, Field(ge=0, lt=MOST_CHOICES)]]
    logprobs: NotRequired[list[Annotated[_Entry, AfterValidator(_even)]]]
    finish_reason: NotRequired[Annotated[str, Field(max_length=100)]]
    prompt_tokens: NotRequired[_Count]
    cached_tokens: NotRequired[_Count]
    reasoning: NotRequired[str]
    tool_calls: NotRequired[list[_Call]]
    stop: NotRequired[str]


@with_config(ConfigDict(strict=True))
class _Error(TypedDict, total=False):
    message: str
    code: str
    param: str | None
    retry_after_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None


_DELTA, _ERROR = TypeAdapter(_Delta), TypeAdapter(_Error)


def check_delta(delta: object) -> None:
    """Raise ProtocolError for what is no model output as Delta.to_json writes it."""
    try:
        _DELTA.validate_python(delta)
    except ValidationError as error:
        raise ProtocolError(f"this is no model output: {error.error_count()} errors") from error


def check_error(error: object) -> None:
    """Raise ProtocolError for what is no error as QuickthawError.to_json writes it."""
    try:
        _ERROR.validate_python(error)
    except ValidationError as fault:
        raise ProtocolError(f"this is no error: {fault.error_count()} errors") from fault
