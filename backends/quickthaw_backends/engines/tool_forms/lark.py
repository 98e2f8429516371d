"""Grammars in llguidance's Lark syntax: their words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_GUIDANCE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_COMBINING = frozenset({"$ref", "allOf", "anyOf", "oneOf", "if", "patternProperties", "unevaluatedProperties"})
NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


def literal(text: str) -> str:
    """Return a text as a terminal."""
    return json.dumps(text)


def marker(text: str, specials: Mapping[str, int]) -> str:
    """Return a marker: the special token that the tokenizer has for it, else its text."""
    return f"<[{specials[text]}]>" if text in specials else literal(text)


def pattern(text: str) -> str:
    """Return a text as a part of a regular expression between slashes."""
    return re.escape(text).replace("/", r"\/")


def json_value(schema: Mapping[str, Any] | bool) -> str:
    """Return a JSON value of a schema, written without free space."""
    guided = {**schema, "x-guidance": _GUIDANCE} if isinstance(schema, Mapping) else schema
    return f"%json {json.dumps(guided)}"


def arguments_schema(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a tool's arguments, always of an object.

    Where it lists properties and says nothing of others, no others are written: small models would not end.
    """
    schema = tool.get("parameters")
    if not isinstance(schema, Mapping) or not schema:
        return NO_ARGUMENTS if schema is None else {"type": "object"}
    known = {"type": "object", **schema}
    if "properties" in known and "additionalProperties" not in known and not _COMBINING & known.keys():
        known["additionalProperties"] = False
    return known


def call_rules(tools: Sequence[Mapping[str, Any]], key: str) -> str:
    """Return `object`: a call as a JSON object with a name and, under `key`, the arguments."""
    names = " | ".join(f"object_{index}" for index in range(len(tools)))
    rules = [f"object: {names}"]
    for index, tool in enumerate(tools):
        head = ["{", '"name"', ": ", json.dumps(tool["name"]), ", ", f'"{key}"', ": "]
        words = " ".join(map(literal, head))
        rules.append(f'object_{index}: {words} arguments_{index} "}}"')
        rules.append(f"arguments_{index}: {json_value(arguments_schema(tool))}")
    return "\n".join(rules) + "\n"
