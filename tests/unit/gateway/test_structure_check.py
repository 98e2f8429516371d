"""Structures are tried before a call is admitted: in bounded time, with the keyword named that is in the way."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.structure_check.checker import MAX_BYTES, StructureChecker
from quickthaw_platform.gateway.structure_check.cleaning import cleaned
from quickthaw_platform.gateway.structure_check.compiling import tried
from quickthaw_platform.gateway.structure_check.demanded import checked
from quickthaw_platform.gateway.structure_check.finiteness import is_endless
from quickthaw_platform.gateway.structure_check.keywords import ANNOTATIONS, KEYWORDS, MAX_DEPTH, unsupported
from quickthaw_platform.gateway.structure_check.places import NATIVE, Places

NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]}
LIST = {**NODE, "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


def long_chain(length: int) -> dict[str, Any]:
    """Return references from one to the next in a random order: to find their end takes the square of their number."""
    order = [*range(length)]
    random.Random(0).shuffle(order)
    defs: dict[str, Any] = {f"d{a}": {"$ref": f"#/$defs/d{b}"} for a, b in pairwise(order)}
    return {"$ref": f"#/$defs/d{order[0]}", "$defs": {**defs, f"d{order[-1]}": {"type": "string"}}}


GOOD: list[Any] = [
    True,
    {},
    {"type": "object", "properties": {"a": {"type": "string", "format": "date"}}, "required": ["a"]},
    {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
    {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}], "additionalItems": False},
    {"$ref": "#/$defs/node", "$defs": {"node": LIST}},  # recursive, with an end
    {"oneOf": [{"type": "string"}, {"type": "null"}], "discriminator": {"propertyName": "t"}},
    {
        "type": "integer",
        "format": "int32",
        "multipleOf": 3,
        "title": "n",
        "default": 3,
        "x-order": 1,
        "nullable": False,
    },
    {"type": "number", "multipleOf": 0.25},
    {"properties": {"not": {"type": "string"}, "$ref": {"type": "null"}}, "required": ["not"]},  # names, no keywords
    nested(MAX_DEPTH // 2 - 1),
]


@pytest.mark.parametrize("schema", GOOD)
def test_schemas_that_answers_can_be_held_to(schema: Any) -> None:
    assert tried("json_schema", schema) is None


@pytest.mark.parametrize(
    ("schema", "path", "says"),
    [
        (False, "", "nothing satisfies"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems", "'uniqueItems' is not supported"),
        ({"properties": {"a": {"not": {}}}}, "properties.a.not", "'not' is not supported"),
        ({"if": {}, "then": {}}, "if", "'if' is not supported"),
        ({"anyOf": [{}, {"contains": {}}]}, "anyOf.1.contains", "'contains' is not supported"),
        ({"$defs": {"a": {"dependentRequired": {}}}}, "$defs.a.dependentRequired", "is not supported"),
        ({"x-guidance": {"lenient": True}}, "x-guidance", "is not supported"),  # would let keywords pass
        ({"foo": 1}, "foo", "'foo' is not supported"),
        ({"type": "string", "format": "postcode"}, "format", "known: date"),
        ({"$ref": "https://example.org/s.json"}, "$ref", "not fetched"),
        ({"$ref": "#/$defs/none"}, "", "does not exist"),
        ({"type": "strng"}, "type", "must be one or several of"),
        ({"minimum": 1, "exclusiveMinimum": True}, "exclusiveMinimum", "must be a number"),  # of a draft long past
        ({"items": [{"type": "string"}]}, "items", "prefixItems"),
        ({"prefixItems": [{}], "additionalItems": False}, "additionalItems", "older drafts"),
        ({"multipleOf": 0.1}, "multipleOf", "exact multiples"),  # 39.8 is none by floating-point division
        ({"properties": []}, "properties", "object of schemas"),
        ({"properties": {"a": 1}}, "properties.a", "object, true or false"),
        ({"type": "string", "enum": []}, "enum", "list of values"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "", "minimum (5) is greater"),
        ({"type": "string", "pattern": "(a)\\1"}, "", "backreferences are not supported"),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "", "anyOf"),
        ({"$ref": "#/$defs/node", "$defs": {"node": NODE}}, "", "finite"),
        ({"$ref": "#"}, "", "finite"),
        ({"type": "object", "properties": {f"p{i}": {"type": "null"} for i in range(20_000)}}, "", "too large"),
        (nested(200), "", f"more than {MAX_DEPTH} levels"),
    ],
)
def test_schemas_that_are_refused_with_the_place_and_the_reason(schema: Any, path: str, says: str) -> None:
    refusal = tried("json_schema", schema)
    assert refusal is not None
    assert refusal.path == path
    assert says in refusal.message


def test_no_name_is_both_a_keyword_and_an_annotation() -> None:
    assert KEYWORDS.isdisjoint(ANNOTATIONS)


@pytest.mark.parametrize("name", sorted(ANNOTATIONS - {"$schema", "$id", "$anchor"}))
def test_annotations_pass_whatever_their_value(name: str) -> None:
    assert unsupported({"type": "object", name: {"not": 1}}) is None


def test_what_allows_everything_is_left_out_and_values_are_left_alone() -> None:
    noise = {"uniqueItems": False, "propertyNames": {"type": "string"}, "unevaluatedProperties": True}
    schema = {
        **noise,
        "properties": {"uniqueItems": {"type": "string", "format": "password"}},
        "items": {**noise, "const": noise},
        "anyOf": [noise, True],
        "$defs": {"a": {"additionalProperties": {"uniqueItems": True}}},
    }
    assert cleaned(schema) == {
        "properties": {"uniqueItems": {"type": "string"}},
        "items": {"const": noise},
        "anyOf": [{}, True],
        "$defs": {"a": {"additionalProperties": {"uniqueItems": True}}},
    }


@pytest.mark.parametrize(
    ("schema", "endless"),
    [
        ({"allOf": [{"$ref": "#"}]}, True),
        ({"type": "array", "items": {"$ref": "#"}}, False),  # the empty list
        ({"type": "array", "items": {"$ref": "#"}, "minItems": 1}, True),
        ({"type": "array", "prefixItems": [{"$ref": "#"}], "minItems": 1}, True),
        ({"type": ["array", "null"], "items": {"$ref": "#"}, "minItems": 1}, False),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"type": "string"}}}, False),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, True),
        ({"anyOf": [{"$ref": "#"}, {"const": 1}]}, False),
    ],
)
def test_recursion_that_has_no_end(schema: dict[str, Any], endless: bool) -> None:
    assert is_endless(schema) is endless


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        ("regex", "(a|b)*a(a|b){20}", None),
        ("regex", "(a", "unclosed group"),
        ("regex", "((a{1,100}){1,100}){1,100}", "too many expressions"),
        ("choice", ["a", 'b"\n'], None),
        ("grammar", 'root ::= "a" root | "b"', None),
        ("grammar", "root ::= other", "other"),
        ("grammar", 'start: "a"', None),
        ("grammar", "start: a\na: a", "NoExtension"),  # nothing can ever be said
    ],
)
def test_expressions_choices_and_grammars(kind: str, value: Any, says: str | None) -> None:
    refusal = tried(kind, value)
    assert (refusal is None) if says is None else (refusal is not None and says in refusal.message)


@pytest.fixture(scope="module")
def checker() -> Iterator[StructureChecker]:
    checker = StructureChecker()
    yield checker
    checker.close()


def pid(checker: StructureChecker) -> int:
    assert checker._helper is not None
    return checker._helper.pid


def test_a_structure_is_tried_once_in_one_process(checker: StructureChecker) -> None:
    assert checker.check("json_schema", {"type": "object"}) is None
    first = pid(checker)
    refusal = checker.check("regex", "(a")
    assert refusal is not None
    assert checker.check("regex", "(a") is refusal
    assert pid(checker) == first


def test_a_structure_of_a_megabyte_is_refused_without_trying(checker: StructureChecker) -> None:
    refusal = checker.check("json_schema", {"const": "x" * MAX_BYTES})
    assert refusal is not None
    assert "at most 1,048,576" in refusal.message


def test_what_takes_too_long_is_refused_and_the_next_one_is_served(checker: StructureChecker) -> None:
    refusal = checker.check("json_schema", long_chain(20_000))
    assert refusal is not None
    assert "more than a second" in refusal.message
    assert checker.check("json_schema", {"type": "array"}) is None


def test_what_is_remembered_waits_for_nobody() -> None:
    checker = StructureChecker()
    try:
        assert checker.check("json_schema", {"type": "object"}) is None
        with checker._trying:  # another thread tries something that takes long
            assert checker.check("json_schema", {"type": "object"}) is None
    finally:
        checker.close()


def test_a_process_that_was_killed_while_idle_is_replaced(checker: StructureChecker) -> None:
    assert checker.check("json_schema", {"type": "null"}) is None
    os.kill(pid(checker), signal.SIGKILL)
    assert checker.check("json_schema", {"type": "boolean"}) is None


def test_the_place_of_a_refusal_is_the_callers_own(checker: StructureChecker) -> None:
    request: dict[str, Any] = {"sampling": {"structure": {"json_schema": {"not": {}}}}}
    with pytest.raises(InvalidRequest) as native:
        checked(checker, request, NATIVE)
    assert native.value.param == "sampling.structure.json_schema.not"
    tools: dict[str, Any] = {"sampling": {}, "chat": {"tools": [{"function": {"name": "f", "parameters": {"if": {}}}}]}}
    with pytest.raises(InvalidRequest) as theirs:
        checked(checker, tools, Places(tool="tools.{}.input_schema"))
    assert theirs.value.param == "tools.0.input_schema.if"


def test_the_instance_gets_the_cleaned_schemas(checker: StructureChecker) -> None:
    noisy = {"type": "object", "propertyNames": {"type": "string"}}
    tool = {"type": "function", "function": {"name": "f", "parameters": noisy}}
    request: dict[str, Any] = {
        "sampling": {"n": 2, "structure": {"json_schema": noisy, "regex": None}},
        "chat": {"tools": [tool, {"type": "function", "function": {"name": "g"}}], "tool_choice": "auto"},
        "seed": 1,
    }
    clean = {"type": "object"}
    assert checked(checker, request, NATIVE) == {
        "sampling": {"n": 2, "structure": {"json_schema": clean}},
        "chat": {
            "tools": [
                {"type": "function", "function": {"name": "f", "parameters": clean}},
                {"type": "function", "function": {"name": "g"}},
            ],
            "tool_choice": "auto",
        },
        "seed": 1,
    }
