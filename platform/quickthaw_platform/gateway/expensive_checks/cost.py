"""Whether an input can be checked against a schema at once, in microseconds and whatever it holds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_SCHEMA_PARTS = 500
MAX_INPUT_PARTS = 1000

_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
_RANGES = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "format", "$defs", "$schema", "deprecated"})
_PLAIN = _COUNTS | _RANGES | _ANNOTATIONS | {"type", "required", "const", "enum", "dependentRequired"}
_ONE = frozenset({"items", "additionalProperties", "not"})
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_DEFINITIONS = "#/$defs/"


def is_cheap(schema: object) -> bool:
    """Whether checking takes time in proportion to the input only, a few hundred times at most.

    Patterns, uniqueItems and other keywords that may take more are not, nor are references that lead back to
    themselves, or that multiply to more than MAX_SCHEMA_PARTS parts.
    """
    definitions = schema.get("$defs", {}) if isinstance(schema, dict) else {}
    return _parts(schema, definitions if isinstance(definitions, dict) else {}, {}, frozenset()) <= MAX_SCHEMA_PARTS


def is_small(value: object) -> bool:
    """Whether an input has at most MAX_INPUT_PARTS values in it."""
    waiting, count = [value], 0
    while waiting and count <= MAX_INPUT_PARTS:
        part = waiting.pop()
        count += 1
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part[: MAX_INPUT_PARTS + 1]
    return count <= MAX_INPUT_PARTS


def _parts(schema: object, definitions: Mapping[str, Any], known: dict[str, float], within: frozenset[str]) -> float:
    """Return how many parts a schema has with what it refers to; infinity for what is not cheap."""
    if isinstance(schema, bool):
        return 1
    if not isinstance(schema, dict) or len(within) > MAX_SCHEMA_PARTS:
        return float("inf")
    total = 1.0
    for name, value in schema.items():
        total += _of_keyword(name, value, definitions, known, within)
        if total > MAX_SCHEMA_PARTS:
            return float("inf")
    return total


def _of_keyword(
    name: str, value: Any, definitions: Mapping[str, Any], known: dict[str, float], within: frozenset[str]
) -> float:
    if name in _PLAIN:
        return len(value) if name in {"enum", "required", "dependentRequired"} and hasattr(value, "__len__") else 0
    if name == "$ref":
        return _of_reference(value, definitions, known, within)
    if name in _ONE:
        return _parts(value, definitions, known, within)
    if name in _LISTS and isinstance(value, list):
        return sum(_parts(part, definitions, known, within) for part in value[: MAX_SCHEMA_PARTS + 1])
    if name == "properties" and isinstance(value, dict) and len(value) <= MAX_SCHEMA_PARTS:
        return sum(_parts(part, definitions, known, within) for part in value.values())
    return float("inf")


def _of_reference(
    target: object, definitions: Mapping[str, Any], known: dict[str, float], within: frozenset[str]
) -> float:
    if not isinstance(target, str) or not target.startswith(_DEFINITIONS) or target in within:
        return float("inf")
    if target not in known:
        part = definitions.get(target.removeprefix(_DEFINITIONS))
        known[target] = _parts(part, definitions, known, within | {target})
    return known[target]
