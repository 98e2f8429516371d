"""What handlers put out, as JSON: besides JSON's own types what Pydantic writes, and arrays of numbers."""

from __future__ import annotations

import datetime
import decimal
import enum
import ipaddress
import json
import pathlib
import uuid
from dataclasses import is_dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import MultiHostUrl, PydanticSerializationError, Url, to_jsonable_python

from quickthaw.errors import HandlerFailed

_WRITTEN_BY_PYDANTIC = (
    BaseModel,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    enum.Enum,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
    pathlib.Path,
    uuid.UUID,
    Url,
    MultiHostUrl,
)
_ARRAY_LIBRARIES = ("numpy", "torch")


def encode(value: object) -> bytes:
    """Return the JSON of a value in UTF-8, or raise HandlerFailed naming its type.

    Sets are refused: they have no order, and a handler that is run again has to put out the same.
    """
    try:
        return _dumps(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise HandlerFailed(f"the handler put out a {type(value).__name__} that JSON cannot carry: {error}") from error


def of(value: Any) -> Any:
    """Return the value as a reader of its JSON sees it (keys are strings, tuples are lists), or raise HandlerFailed."""
    if value is None or type(value) in (str, int, bool):
        return value
    return json.loads(encode(value))


def plain(value: object) -> Any:
    """Return the JSON value of an object that JSON has no type for; TypeError for what has none."""
    if _is_written_by_pydantic(value):
        return to_jsonable_python(value, fallback=_unknown_to_pydantic)
    return _unknown_to_pydantic(value)


def _is_written_by_pydantic(value: object) -> bool:
    kind = type(value)
    known = isinstance(value, _WRITTEN_BY_PYDANTIC) or is_dataclass(kind)
    return known or (hasattr(kind, "__get_pydantic_core_schema__") and not isinstance(value, type))


def _unknown_to_pydantic(value: object) -> Any:
    """Return the JSON value of what Pydantic asks for; asking it in turn would never end."""
    if isinstance(value, pathlib.PurePath):
        return str(value)
    library = type(value).__module__.partition(".")[0]
    if library in _ARRAY_LIBRARIES and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not serializable")


def _dumps(value: object) -> str:
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, default=plain)
    except TypeError as error:
        if "keys must be" not in str(error):
            raise
        return json.dumps(_with_text_keys(value), allow_nan=False, ensure_ascii=False, default=plain)


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(key): _with_text_keys(item) for key, item in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, list | tuple) else value


def _key(key: object) -> Any:
    if key is None or isinstance(key, str | int | float):
        return key
    written = plain(key)
    if isinstance(written, list | dict):
        raise TypeError(f"keys must be text or numbers, not {type(key).__name__}")
    return written


def jsonable(value: object) -> Any:
    """Return a call's argument as a JSON value; PydanticSerializationError where it has none."""
    try:
        return to_jsonable_python(value, fallback=_unknown_to_pydantic)
    except TypeError as error:
        raise PydanticSerializationError(str(error)) from error
