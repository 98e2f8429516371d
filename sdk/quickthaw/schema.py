"""A handler's signature, read two ways: as JSON schema of its arguments, and to bind a call's arguments to it.

The first parameter is the model, which the platform passes; everything else travels as JSON by name.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import PydanticUserError, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError, to_jsonable_python

from quickthaw.errors import InvalidRequest, InvalidSource

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def parameters(handler: Callable[..., Any]) -> dict[str, Any]:
    """Return the JSON schema of the handler's arguments; InvalidSource where it takes what JSON cannot name.

    A parameter without annotation, or with one that has no JSON schema, takes any value.
    """
    named = _arguments(handler)
    plain = [parameter for parameter in named if parameter.kind in _BY_NAME]
    adapters = {parameter.name: _adapter(handler, parameter) for parameter in plain}
    schema = object_schema(plain, adapters)
    schema["additionalProperties"] = len(plain) < len(named)  # what is left is **kwargs
    description = inspect.getdoc(handler)
    if description:
        schema["description"] = description.split("\n\n")[0]
    return schema


def object_schema(
    named: Sequence[inspect.Parameter],
    adapters: Mapping[str, TypeAdapter[Any] | None],
    generator: type[GenerateJsonSchema] = GenerateJsonSchema,
) -> dict[str, Any]:
    """Return the JSON schema of an object with these parameters as properties, and no others.

    One without adapter takes any value.
    """
    properties, definitions = _schemas(named, adapters, generator)
    schema: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": [parameter.name for parameter in named if parameter.default is inspect.Parameter.empty],
        "additionalProperties": False,
    }
    return {**schema, "$defs": definitions} if definitions else schema


def bind(handler: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the call's arguments by name, as JSON values; InvalidRequest where they do not fit the signature."""
    named = _arguments(handler)
    try:
        bound = inspect.Signature(named).bind(*args, **kwargs)
    except TypeError as error:
        raise InvalidRequest(f"{handler.__name__}(): {error}") from error
    values: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        values.update(
            value if bound.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD else {name: value}
        )
    return {name: _jsonable(name, value) for name, value in values.items()}


def _arguments(handler: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters behind the model."""
    found = list(inspect.signature(handler).parameters.values())
    if not found or found[0].kind not in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD):
        raise InvalidSource(f"{handler.__name__}() must take the model as its first parameter")
    others = found[1:]
    for parameter in others:
        if parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL):
            raise InvalidSource(f"{handler.__name__}(): {parameter} cannot be passed by name, as JSON arguments are")
    return others


def _schemas(
    named: Sequence[inspect.Parameter],
    adapters: Mapping[str, TypeAdapter[Any] | None],
    generator: type[GenerateJsonSchema],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of each parameter and the definitions that they share."""
    inputs: list[tuple[str, Literal["validation"], TypeAdapter[Any]]] = [
        (name, "validation", adapter) for name, adapter in adapters.items() if adapter is not None
    ]
    by_key, shared = TypeAdapter.json_schemas(inputs, schema_generator=generator)
    found = {name: dict(schema) for (name, _), schema in by_key.items()}
    return {p.name: _with_default(found.get(p.name, {}), p.default) for p in named}, shared.get("$defs", {})


def _adapter(handler: Callable[..., Any], parameter: inspect.Parameter) -> TypeAdapter[Any] | None:
    """Return the pydantic adapter of a parameter's type; None where it has none that JSON can describe."""
    if parameter.annotation is inspect.Parameter.empty:
        return None
    try:
        return adapter_of(handler, parameter)
    except (NameError, PydanticUserError):  # imported under TYPE_CHECKING only, or nothing that JSON describes
        return None


def adapter_of(function: Callable[..., Any], parameter: inspect.Parameter) -> TypeAdapter[Any]:
    """Return what reads a parameter's type from JSON.

    Raises NameError for a type that cannot be found, PydanticUserError for one that has no JSON schema.
    """
    holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    names = getattr(function, "__globals__", {})
    hint = typing.get_type_hints(holder, globalns=names, include_extras=True)[parameter.name]
    adapter: TypeAdapter[Any] = TypeAdapter(hint)
    adapter.json_schema()
    return adapter


def _with_default(schema: dict[str, Any], default: Any) -> dict[str, Any]:
    if default is inspect.Parameter.empty:
        return schema
    try:
        return {**schema, "default": to_jsonable_python(default)}
    except PydanticSerializationError:
        return schema


def _jsonable(name: str, value: Any) -> Any:
    try:
        return to_jsonable_python(value)
    except PydanticSerializationError as error:
        raise InvalidRequest(f"the argument {name!r} cannot be sent as JSON: {error}", param=name) from error
