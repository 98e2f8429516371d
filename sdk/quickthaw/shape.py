"""What an answer has to be, as `response_format` says it, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from quickthaw.errors import InvalidRequest, UnusableAnswer
from quickthaw.generation import Structure
from quickthaw.typed_dicts import readable

T = TypeVar("T")

ResponseFormat = type[Any] | Mapping[str, Any] | Structure
"""A type whose schema Pydantic knows, OpenAI's `response_format`, or a Structure."""

_PARAM = "response_format"


@dataclass(frozen=True, slots=True)
class Shape(Generic[T]):
    """The structure of an answer (None: any text) and what makes a value of its text."""

    structure: Structure | None
    read: Callable[[str], T]


class ClosedSchema(GenerateJsonSchema):
    """JSON schemas that allow an object's named properties alone, unless its type says that it takes more.

    A model that may add properties of its own does so without end.
    """

    def model_schema(self, schema: Any) -> dict[str, Any]:
        """Describe a Pydantic model."""
        return _closed(super().model_schema(schema))

    def typed_dict_schema(self, schema: Any) -> dict[str, Any]:
        """Describe a TypedDict."""
        return _closed(super().typed_dict_schema(schema))

    def dataclass_schema(self, schema: Any) -> dict[str, Any]:
        """Describe a dataclass."""
        return _closed(super().dataclass_schema(schema))


def shape_of(response_format: Any) -> Shape[Any]:
    """Return the shape that a `response_format` names; None: any text, which is read as JSON.

    Raises InvalidRequest for what is none of ResponseFormat.
    """
    if response_format is None:
        return Shape(None, read_json)
    if isinstance(response_format, Structure):
        is_json = response_format.json_schema is not None
        return Shape(response_format, read_json if is_json else str)
    if isinstance(response_format, Mapping):
        return Shape(_structure_of(response_format), read_json)
    return _shape_of_type(response_format)


def read_json(text: str) -> Any:
    """Return the JSON value that an answer is; UnusableAnswer where it is none."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise UnusableAnswer(f"the answer is not JSON ({error}): {text[:200]!r}") from error


def _shape_of_type(kind: Any) -> Shape[Any]:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(readable(kind))
        schema = adapter.json_schema(schema_generator=ClosedSchema)
    except (NameError, PydanticUserError) as error:
        raise InvalidRequest(f"response_format {kind!r} has no JSON schema: {error}", param=_PARAM) from error

    def read(text: str) -> Any:
        try:
            return adapter.validate_json(text)
        except ValidationError as error:
            raise UnusableAnswer(f"the answer does not fit the response_format: {error}") from error

    return Shape(Structure(json_schema=schema), read)


def _structure_of(body: Mapping[str, Any]) -> Structure | None:
    """Read OpenAI's form."""
    kind = body.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return Structure(json_schema={"type": "object"})
    schema = body.get("json_schema")
    if kind == "json_schema" and isinstance(schema, Mapping) and isinstance(schema.get("schema"), Mapping | bool):
        found = schema["schema"]
        return Structure(json_schema=found if isinstance(found, bool) else dict(found))
    raise InvalidRequest(
        'response_format must be {"type": "text"}, {"type": "json_object"} or {"type": "json_schema", "json_schema": '
        '{"name": …, "schema": …}}, a type that Pydantic knows, or a Structure',
        param=_PARAM,
    )


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "additionalProperties": False} if _is_open(schema) else schema


def _is_open(schema: Mapping[str, Any]) -> bool:
    return "properties" in schema and "additionalProperties" not in schema
