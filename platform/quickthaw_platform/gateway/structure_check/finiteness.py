"""Whether a value of finite size can satisfy a schema that refers to itself. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SCALARS = frozenset({"null", "boolean", "integer", "number", "string"})


def is_endless(schema: dict[str, Any] | bool) -> bool:
    """Tell whether each value of the schema would have to hold another one of its own kind, without end.

    The references that have finite values are found from the bottom up: first those that need no other one, then those
    that need only these, and so on until nothing is added.
    """
    finite: set[str] = set()
    open_ = [(reference, _target(schema, reference)) for reference in sorted(_references(schema))]
    while True:
        known = len(finite)
        for name, target in open_:
            if _is_finite(target, finite):
                finite.add(name)
        if len(finite) == known:
            return not _is_finite(schema, finite)
        open_ = [entry for entry in reversed(open_) if entry[0] not in finite]


def _is_finite(schema: object, finite: set[str]) -> bool:
    if not isinstance(schema, dict) or "enum" in schema or "const" in schema:
        return True
    if "$ref" in schema and schema["$ref"] not in finite:
        return False
    if not all(_is_finite(part, finite) for part in schema.get("allOf", ())):
        return False
    if not all(_any_finite(schema[name], finite) for name in ("anyOf", "oneOf") if name in schema):
        return False
    types = schema.get("type", ())
    named = {types} if isinstance(types, str) else set(types)
    if not named or named & _SCALARS:
        return True
    return ("object" in named and _object(schema, finite)) or ("array" in named and _array(schema, finite))


def _any_finite(schemas: list[Any], finite: set[str]) -> bool:
    return any(_is_finite(schema, finite) for schema in schemas)


def _object(schema: Mapping[str, Any], finite: set[str]) -> bool:
    properties = schema.get("properties", {})
    return all(_is_finite(properties.get(name), finite) for name in schema.get("required", ()))


def _array(schema: Mapping[str, Any], finite: set[str]) -> bool:
    first, least = schema.get("prefixItems", []), int(schema.get("minItems", 0))
    needed = [*first[:least], *([schema.get("items")] if least > len(first) else [])]
    return all(_is_finite(part, finite) for part in needed)


def _references(schema: object) -> set[str]:
    found: set[str] = set()
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            found |= {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return found


def _target(root: object, reference: str) -> object:
    """Return what a reference into the same schema means; None, which counts as finite, where it cannot be told."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    part = root
    for step in reference.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(part, dict):
            part = part.get(name)
        elif isinstance(part, list) and name.isdigit() and int(name) < len(part):
            part = part[int(name)]
        else:
            return None
    return part
