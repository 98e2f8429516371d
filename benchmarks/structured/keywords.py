"""Schemas made from each keyword of JSON Schema that the engines' grammars know, and from none that they do not. Pure.

Each maker takes a generator of random numbers and returns a schema in which the keyword matters. Texts, lists and
numbers are bounded, so that nearly all answers end by themselves.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.structured.cases import Case, listed, one_of, record, text, whole

Made = dict[str, Any]
Maker = Callable[[random.Random], Made]

WORDS = ("red", "green", "blue", "north", "south", "open", "closed", "cat", "dog", "rain", "snow", "iron", "glass")
FORMATS = ("date-time", "date", "time", "duration", "ipv4", "ipv6", "uuid")
LONG_FORMATS = ("email", "hostname", "uri")
PATTERNS = (
    "^[A-Z]{3}$",
    "^[a-z]{2,5}$",
    "^[0-9]{2}-[0-9]{4}$",
    "^(north|south)-[a-f]$",
    "^#[0-9a-f]{6}$",
    "^v[0-9]\\.[0-9]$",
)


def _words(numbers: random.Random, least: int = 2, most: int = 5) -> list[str]:
    return numbers.sample(WORDS, numbers.randint(least, most))


def _bounds(numbers: random.Random) -> tuple[int, int]:
    low = numbers.randint(-50, 50)
    return low, low + numbers.randint(1, 200)


def _type(numbers: random.Random) -> Made:
    return numbers.choice(
        [{"type": "boolean"}, {"type": "null"}, whole(*_bounds(numbers)), text(numbers.randint(3, 12))]
    )


def _types(numbers: random.Random) -> Made:
    return {"type": ["boolean", "null", "string"], "maxLength": numbers.randint(3, 9)}


def _const(numbers: random.Random) -> Made:
    word = numbers.choice(WORDS)
    return {"const": numbers.choice([word, numbers.randint(-9, 99), True, None, {word: [1, None]}, [word, 2]])}


def _enum(numbers: random.Random) -> Made:
    return one_of(*_words(numbers), *numbers.sample([1, 2.5, None, False, {"a": 1}, [1, 2]], 2))


def _minimum(numbers: random.Random) -> Made:
    return whole(*_bounds(numbers))


def _exclusive(numbers: random.Random) -> Made:
    low, high = _bounds(numbers)
    return {"type": "integer", "exclusiveMinimum": low, "exclusiveMaximum": high + 2}


def _multiple(numbers: random.Random) -> Made:
    if numbers.random() < 0.5:
        return {"type": "integer", "multipleOf": numbers.choice([2, 3, 5, 10]), "minimum": 0, "maximum": 500}
    return {"type": "number", "multipleOf": numbers.choice([0.5, 0.25]), "minimum": 0, "maximum": 20}


def _length(numbers: random.Random) -> Made:
    least = numbers.randint(0, 6)
    return text(least + numbers.randint(1, 8), minLength=least)


def _pattern(numbers: random.Random) -> Made:
    return {"type": "string", "pattern": numbers.choice(PATTERNS)}


def _format(numbers: random.Random) -> Made:
    if numbers.random() < 0.3:
        return text(24, format=numbers.choice(LONG_FORMATS))
    return {"type": "string", "format": numbers.choice(FORMATS)}


def _items(numbers: random.Random) -> Made:
    return listed(SIMPLE[numbers.choice(list(SIMPLE))](numbers), numbers.randint(1, 4))


def _item_counts(numbers: random.Random) -> Made:
    least = numbers.randint(1, 3)
    return listed(one_of(*_words(numbers)), least + numbers.randint(0, 2), minItems=least)


def _prefix_items(numbers: random.Random) -> Made:
    first = [_type(numbers) for _ in range(numbers.randint(1, 3))]
    return {"type": "array", "prefixItems": first, "items": False, "minItems": len(first)}


def _properties(numbers: random.Random) -> Made:
    names = _words(numbers, 1, 4)
    return record({name: _type(numbers) for name in names})


def _optional(numbers: random.Random) -> Made:
    names = _words(numbers, 2, 4)
    return record({name: _type(numbers) for name in names}, required=names[:1])


def _additional(numbers: random.Random) -> Made:
    known = numbers.choice(WORDS)
    return {
        "type": "object",
        "properties": {known: {"type": "boolean"}},
        "required": [known],
        "additionalProperties": whole(),
        "maxProperties": 3,
    }


def _pattern_properties(numbers: random.Random) -> Made:
    return {
        "type": "object",
        "patternProperties": {"^[a-f]{1,4}$": whole(*_bounds(numbers))},
        "additionalProperties": False,
        "maxProperties": numbers.randint(1, 3),
    }


def _property_counts(numbers: random.Random) -> Made:
    return {
        "type": "object",
        "additionalProperties": whole(),
        "minProperties": 1,
        "maxProperties": numbers.randint(1, 3),
    }


def _any_of(numbers: random.Random) -> Made:
    return {"anyOf": [_type(numbers), _properties(numbers), _enum(numbers)]}


def _one_of(numbers: random.Random) -> Made:
    kinds = _words(numbers, 2, 3)
    return {"oneOf": [record({"kind": {"const": kind}, "value": _type(numbers)}) for kind in kinds]}


def _all_of(numbers: random.Random) -> Made:
    first, second = numbers.sample(WORDS, 2)
    parts = [{"type": "object", "properties": {n: _minimum(numbers)}, "required": [n]} for n in (first, second)]
    return {"allOf": parts, "maxProperties": 2}


def _ref(numbers: random.Random) -> Made:
    kind = numbers.choice(WORDS)
    return {"$defs": {kind: _properties(numbers)}, **record({"first": {"$ref": f"#/$defs/{kind}"}})}


def _recursive(numbers: random.Random) -> Made:
    node = record({"value": whole(), "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}})
    return {"$defs": {"node": node}, **record({"head": {"$ref": "#/$defs/node"}, "name": one_of(*_words(numbers))})}


SIMPLE: Mapping[str, Maker] = {
    "type": _type,
    "type (list)": _types,
    "const": _const,
    "enum": _enum,
    "minimum, maximum": _minimum,
    "exclusiveMinimum, exclusiveMaximum": _exclusive,
    "multipleOf": _multiple,
    "minLength, maxLength": _length,
    "pattern": _pattern,
    "format": _format,
}
MAKERS: Mapping[str, Maker] = {
    **SIMPLE,
    "items": _items,
    "minItems, maxItems": _item_counts,
    "prefixItems": _prefix_items,
    "properties": _properties,
    "required": _optional,
    "additionalProperties": _additional,
    "patternProperties": _pattern_properties,
    "minProperties, maxProperties": _property_counts,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "allOf": _all_of,
    "$ref": _ref,
    "$ref (recursive)": _recursive,
}
ROOTS = ("$ref", "$ref (recursive)")
"""Those whose references count from the root, so that they cannot be put into another schema."""

UNSUPPORTED: Mapping[str, Made] = {
    "not": {"not": {"type": "string"}},
    "if": {"if": {"type": "string"}, "then": {"minLength": 1}},
    "uniqueItems": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
    "contains": {"type": "array", "contains": {"type": "integer"}},
    "propertyNames": {"type": "object", "propertyNames": {"pattern": "^a"}},
    "dependentRequired": {"type": "object", "dependentRequired": {"a": ["b"]}},
    "dependentSchemas": {"type": "object", "dependentSchemas": {"a": {"required": ["b"]}}},
    "unevaluatedProperties": {"type": "object", "unevaluatedProperties": False},
    "unevaluatedItems": {"type": "array", "unevaluatedItems": False},
    "idn-hostname": {"type": "string", "format": "idn-hostname"},
}
"""Schemas with a keyword or format that no grammar is made of: to be refused with its name."""


def generated(count: int, seed: int) -> list[Case]:
    """Return so many schemas, of all makers in turn; the same ones for the same seed."""
    numbers = random.Random(seed)
    names = list(MAKERS)
    return [_case(names[number % len(names)], numbers) for number in range(count)]


def _case(name: str, numbers: random.Random) -> Case:
    made = MAKERS[name](numbers)
    if name in ROOTS:
        return Case(name, made)
    more = {word: SIMPLE[numbers.choice(list(SIMPLE))](numbers) for word in _words(numbers, 0, 2)}
    return Case(name, record({"value": made, **more}))
