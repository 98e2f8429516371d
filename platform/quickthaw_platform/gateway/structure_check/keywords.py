"""Which keywords of JSON Schema an answer is held to, and which say nothing about an answer. Pure.

The masks come from llguidance, which knows only some keywords and silently passes over names that are no keywords at
all; whatever is not in one of the tables here is refused, so that every answer is valid by its whole schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from quickthaw_platform.gateway.structure_check.refusal import Refusal

MAX_DEPTH = 100
"""How many levels of brackets a schema may have. llguidance's own parser ends at 128."""

ANNOTATIONS = frozenset(
    {
        "title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly", "$comment",
        "$schema", "$id", "$anchor", "contentEncoding", "contentMediaType", "discriminator", "markdownDescription",
        "enumNames", "enumDescriptions", "nullable",
    }
)  # fmt: skip
"""They describe, and no value is valid or invalid for them. Names that begin with `x-` are extensions and annotate too.
`nullable` is OpenAPI's of old; JSON Schema has no such keyword, so nothing becomes null by it.
"""

FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"}
)  # fmt: skip
"""Of strings. A format of numbers, such as int32, is an annotation."""

_FINEST_STEP = 1 << 20
_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_OLDER_DRAFTS = ("draft-03", "draft-04", "draft-06", "draft-07", "2019-09")
_HINTS = {
    "x-guidance": "it is llguidance's own",
    "$dynamicRef": "write $ref",
    "$recursiveRef": "write $ref",
}


def _is_schema(value: object) -> bool:
    return isinstance(value, dict | bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and value == int(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_step(value: object) -> bool:
    return isinstance(value, int | float) and value > 0 and Fraction(value).denominator <= _FINEST_STEP


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _is_type(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in _TYPES for name in names)


_CONSTRAINTS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "type": (_is_type, f"one or several of {', '.join(sorted(_TYPES))}"),
    "enum": (lambda value: isinstance(value, list) and bool(value), "a list of values"),
    "const": (lambda _: True, "a value"),
    "required": (_is_texts, "a list of names"),
    "pattern": (lambda value: isinstance(value, str), "a regular expression"),
    "format": (lambda value: isinstance(value, str), "a text"),
    "$ref": (lambda value: isinstance(value, str), "a reference"),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
        (_is_count, "a whole number, 0 or above"),
    ),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (_is_number, "a number")),
    "multipleOf": (
        _is_step,
        "a whole number above 0, or a binary fraction such as 0.5: others have no exact multiples",
    ),
}
ONE = frozenset({"items", "additionalProperties", "additionalItems"})
"""Keywords whose value is a schema; those of LISTS hold lists of schemas, those of MAPS objects of schemas."""

LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_OF_DRAFTS = {"additionalItems": True, "prefixItems": False}  # whether the drafts are older ones
MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions"})

KEYWORDS = frozenset({*_CONSTRAINTS, *ONE, *LISTS, *MAPS})
"""Those that an answer is held to, with those that hold the parts of a schema."""


HANDLING_FORMATS = frozenset(
    {"password", "binary", "byte", "base64", "base64url", "path", "file-path", "directory-path", "json-string"}
)
"""How programs handle a text; they say nothing of what it may be."""


def unsupported(schema: object) -> Refusal | None:
    """Return the first thing in a schema that an answer could not be held to, or that is no schema; None: nothing."""
    if _nests_too_deeply(schema):
        return Refusal(f"it nests more than {MAX_DEPTH} levels deep")
    old = _is_old(schema)
    waiting: list[tuple[str, object]] = [("", schema)]
    while waiting:
        path, part = waiting.pop()
        if isinstance(part, bool):
            continue
        if not isinstance(part, dict):
            return Refusal("a schema is an object, true or false", path)
        for name, value in part.items():
            place = f"{path}.{name}" if path else name
            refusal = _refused(name, value, part, place, old)
            if refusal is not None:
                return refusal
            waiting += _parts(name, value, place)
    return None


def _refused(name: str, value: object, schema: Mapping[str, Any], place: str, old: bool) -> Refusal | None:
    if name in _CONSTRAINTS:
        fits, wanted = _CONSTRAINTS[name]
        return _refused_value(name, value, schema, place) if fits(value) else Refusal(f"it must be {wanted}", place)
    if name in _OF_DRAFTS and _OF_DRAFTS[name] != old:
        which = "older drafts, which $schema has to name" if not old else "newer drafts than the one that $schema names"
        return Refusal(f"{name} is a keyword of {which}", place)
    if name in ONE:
        return None if _is_schema(value) else _refused_list(name, value, place, old)
    if name in LISTS:
        return None if isinstance(value, list) and value else Refusal("it must be a list of schemas", place)
    if name in MAPS:
        return None if isinstance(value, dict) else Refusal("it must be an object of schemas", place)
    is_annotation = name in ANNOTATIONS or (name.startswith("x-") and name != "x-guidance")
    if is_annotation:
        return None
    hint = f"; {_HINTS[name]}" if name in _HINTS else ""
    return Refusal(f"the keyword {name[:100]!r} is not supported: an answer could not be held to it{hint}", place)


def _refused_value(name: str, value: object, schema: Mapping[str, Any], place: str) -> Refusal | None:
    if name == "$ref" and isinstance(value, str) and "://" in value:
        return Refusal(f"{value[:100]!r} is elsewhere, and schemas are not fetched; put it under $defs", place)
    of_text = schema.get("type", "string") == "string" or "string" in schema.get("type", ())
    if name == "format" and of_text and value not in FORMATS:
        return Refusal(f"the format {value!r:.100} is not supported; known: {', '.join(sorted(FORMATS))}", place)
    return None


def _refused_list(name: str, value: object, place: str, old: bool) -> Refusal | None:
    if name == "items" and isinstance(value, list) and old:
        return None
    hint = "; a list of schemas is called prefixItems" if isinstance(value, list) else ""
    return Refusal(f"it must be a schema{hint}", place)


def _parts(name: str, value: Any, place: str) -> Iterator[tuple[str, object]]:
    if name in ONE and not isinstance(value, list):
        yield place, value
    elif name in LISTS or name in ONE:
        yield from ((f"{place}.{index}", part) for index, part in enumerate(value))
    elif name in MAPS:
        yield from ((f"{place}.{key}", part) for key, part in value.items())


def _is_old(schema: object) -> bool:
    """Whether a schema says that it is of a draft in which a list of `items` is what is called prefixItems now."""
    draft = schema.get("$schema") if isinstance(schema, dict) else None
    return isinstance(draft, str) and any(name in draft for name in _OLDER_DRAFTS)


def _nests_too_deeply(value: object) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            part
            for entry in level
            if isinstance(entry, dict | list)
            for part in (entry.values() if isinstance(entry, dict) else entry)
        ]
        if not level:
            return False
    return True
