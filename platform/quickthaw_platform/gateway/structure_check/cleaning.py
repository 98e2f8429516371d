"""Schemas without what says nothing about a value, though llguidance would refuse it. Pure.

Libraries write such things: zod that the names of an object's properties are strings, pydantic the format `password`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quickthaw_platform.gateway.structure_check.keywords import HANDLING_FORMATS, LISTS, MAPS, ONE

_EVERYTHING: tuple[Any, ...] = (True, {})
_NOTHING_SAID: Mapping[str, tuple[Any, ...]] = {
    "uniqueItems": (False,),
    "propertyNames": (*_EVERYTHING, {"type": "string"}),
    "unevaluatedProperties": _EVERYTHING,
    "unevaluatedItems": _EVERYTHING,
}


def cleaned(schema: Any) -> Any:
    """Return the schema without keywords whose value allows everything. What is no schema is returned as it is."""
    if not isinstance(schema, dict):
        return schema
    return {name: _part(name, value) for name, value in schema.items() if not _says_nothing(name, value)}


def _says_nothing(name: str, value: object) -> bool:
    if name == "format":
        return isinstance(value, str) and value in HANDLING_FORMATS
    return any(value == other and type(value) is type(other) for other in _NOTHING_SAID.get(name, ()))


def _part(name: str, value: Any) -> Any:
    if name in ONE and isinstance(value, dict):
        return cleaned(value)
    if name in LISTS or name in ONE:
        return [cleaned(part) for part in value] if isinstance(value, list) else value
    if name in MAPS and isinstance(value, dict):
        return {key: cleaned(part) for key, part in value.items()}
    return value
