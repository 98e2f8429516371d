"""What handlers put out, as JSON: besides JSON's own types what Pydantic writes, and arrays of numbers."""

from __future__ import annotations

import datetime
import decimal
import enum
import ipaddress
import json
import pathlib
import re
import uuid
from dataclasses import is_dataclass
from itertools import chain
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

MOST_NESTED = 200
"""Objects and lists within each other. Pydantic writes no more than 255, and what is read is written on."""

_LONG_NUMBER = re.compile(rb"\d{19}")
_INTEGERS = range(-(2**63), 2**64)


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
    if value is None or type(value) in (str, bool):
        return value
    return read(encode(value))


def read(text: bytes) -> Any:
    """Return the value of what `encode` gave; HandlerFailed where readers of answers would not take it."""
    value = json.loads(text, parse_int=_integer) if _LONG_NUMBER.search(text) else json.loads(text)
    if text.count(b"[") + text.count(b"{") > MOST_NESTED and nests_too_deep(value):
        raise HandlerFailed(f"the handler put out more than {MOST_NESTED} lists and objects within each other")
    return value


def nests_too_deep(value: Any) -> bool:
    """Tell whether more than MOST_NESTED objects and lists are within each other."""
    level = [value]
    for _ in range(MOST_NESTED):
        parts = chain.from_iterable(part.values() if isinstance(part, dict) else part for part in level)
        level = [part for part in parts if isinstance(part, dict | list)]
        if not level:
            return False
    return True


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) <= 20 else _INTEGERS.stop
    if value not in _INTEGERS:
        raise HandlerFailed(f"the handler put out the number {digits[:30]}…, which does not fit into 64 bits")
    return value


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
