"""Grammars in llguidance's Lark syntax: their words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_GUIDANCE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_COMBINING = frozenset({"$ref", "allOf", "anyOf", "oneOf", "if", "patternProperties", "unevaluatedProperties"})
NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


def literal(text: str) -> str:
    """Return a text as a terminal."""
    return json.dumps(text, ensure_ascii=False)


def pattern(text: str) -> str:
    """Return a text as a part of a regular expression between slashes."""
    return re.escape(text).replace("/", r"\/")


def json_value(schema: Mapping[str, Any] | bool, *, strict: bool) -> str:
    """Return a JSON value of a schema, written without free space.

    A keyword that llguidance does not know is an error where it is `strict`, and else constrains nothing.
    """
    known = schema if isinstance(schema, Mapping) else {} if schema else {"enum": []}
    return f"%json {json.dumps({**known, 'x-guidance': {**_GUIDANCE, 'lenient': not strict}})}"


def is_strict(function: Mapping[str, Any]) -> bool:
    """Return whether all of a function's schema has to hold."""
    return function.get("strict") is True


def arguments_schema(function: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a function's arguments, always of an object.

    Where it lists properties and says nothing of others, no others are written: small models would not end.
    """
    schema = function.get("parameters")
    if not isinstance(schema, Mapping) or not schema:
        return NO_ARGUMENTS if schema is None else {"type": "object"}
    known = {"type": "object", **schema}
    if "properties" in known and "additionalProperties" not in known and not _COMBINING & known.keys():
        known["additionalProperties"] = False
    return known


def call_objects(functions: Sequence[Mapping[str, Any]], key: str, *, apart: bool = False) -> str:
    """Return `object`: a call as a JSON object with a name and, under `key`, the arguments.

    Its beginning is one word up to the arguments, so that it can stand beside a text that begins with anything else;
    or, `apart`, of the words that other JSON has too.
    """
    rules = [f"object: {' | '.join(f'object_{index}' for index in range(len(functions)))}"]
    for index, function in enumerate(functions):
        words = ["{", '"name"', ": ", json.dumps(function["name"]), ", ", json.dumps(key), ": "]
        head = " ".join(map(literal, words)) if apart else literal("".join(words))
        rules.append(f'object_{index}: {head} arguments_{index} "}}"')
    return "\n".join([*rules, arguments(functions)])


def arguments(functions: Sequence[Mapping[str, Any]]) -> str:
    """Return `arguments_0` and so on: the arguments of each function as a JSON object."""
    values = [json_value(arguments_schema(function), strict=is_strict(function)) for function in functions]
    return "\n".join(f"arguments_{index}: {value}" for index, value in enumerate(values))


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a function, where a form writes each by itself."""

    name: str
    schema: Mapping[str, Any] | bool  # with the definitions that it may refer to
    required: bool
    strict: bool

    @property
    def value(self) -> str:
        """The rule of its value as JSON."""
        return json_value(self.schema, strict=self.strict)

    @property
    def is_text(self) -> bool:
        """Whether its value is always a text."""
        return isinstance(self.schema, Mapping) and self.schema.get("type") == "string"

    @property
    def choices(self) -> list[str]:
        """The texts that it may be; none: any."""
        choices = self.schema.get("enum", ()) if isinstance(self.schema, Mapping) else ()
        return [choice for choice in choices if isinstance(choice, str)]


def parameters(function: Mapping[str, Any]) -> list[Parameter]:
    """Return what a function's schema lists as properties, the required ones first."""
    schema = arguments_schema(function)
    shared: dict[str, Any] = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    required = schema.get("required", ())
    listed = [
        Parameter(
            name, {**dict(of), **shared} if isinstance(of, Mapping) else of, name in required, is_strict(function)
        )
        for name, of in schema.get("properties", {}).items()
    ]
    return sorted(listed, key=lambda parameter: not parameter.required)
