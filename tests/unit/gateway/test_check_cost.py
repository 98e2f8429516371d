"""Which inputs are checked at once, and which in a process that may be killed."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.expensive_checks.cost import is_cheap, is_small
from quickthaw_platform.gateway.validation import check_input


class Address(BaseModel):
    street: str
    number: int | None = None


class Person(BaseModel):
    name: str
    home: Address
    others: list[Address] = []


def doubling(levels: int) -> dict[str, Any]:
    definitions: dict[str, Any] = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(levels)
    }
    definitions[f"d{levels}"] = {"type": "object"}
    return {"$defs": definitions, "properties": {"x": {"$ref": "#/$defs/d0"}}}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        {"type": "object", "properties": {"p": {"type": "string", "maxLength": 5}}, "required": ["p"]},
        {"type": "object", "properties": {"p": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}}},
        Person.model_json_schema(),
        doubling(3),
    ],
    ids=["empty", "true", "a text", "a choice", "pydantic's", "some references"],
)
def test_what_a_signature_gives_is_checked_at_once(schema: object) -> None:
    assert is_cheap(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"p": {"pattern": "^(a+)+$"}}},
        {"patternProperties": {"^(a+)+$": {}}},
        {"items": {"uniqueItems": True}},
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}},
        {"$ref": "#/$defs/absent"},
        {"properties": {"p": {"$dynamicRef": "#x"}}},
        {"unknown": 1},
        {"enum": list(range(1000))},
        doubling(40),
        {"properties": {f"p{n}": {"properties": {f"q{m}": {} for m in range(50)}} for n in range(50)}},
        {"properties": {"x": 7}},
    ],
    ids=[
        *("pattern", "pattern of names", "unique", "itself", "recursive", "absent", "dynamic", "unknown", "long enum"),
        *("doubling references", "large", "no schema"),
    ],
)
def test_what_may_take_long_is_not(schema: object) -> None:
    assert not is_cheap(schema)


def test_an_input_is_small_by_the_number_of_values_in_it() -> None:
    assert is_small({"messages": [{"role": "user", "content": "x" * 1_000_000}]})
    assert not is_small({"x": list(range(2000))})
    deep: Any = 1
    for _ in range(2000):
        deep = [deep]
    assert not is_small({"x": deep})


@pytest.mark.parametrize("reference", ["#/properties/x/minimum", "#/x", "nowhere", "#/properties/x/type"])
def test_a_reference_to_what_is_no_schema_is_the_functions_fault_and_no_error_of_the_gateway(reference: str) -> None:
    schema = {"properties": {"x": {"type": "integer", "minimum": 3}, "y": {"$ref": reference}}}
    with pytest.raises(InvalidRequest, match="cannot be used"):
        check_input("f", schema, {"y": 1})
