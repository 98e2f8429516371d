"""A handler's signature, read three ways: as JSON schema of its arguments, to bind a call's arguments to it, and to
make of their JSON values what its annotations say.

The first parameter is the model, which the platform passes; everything else travels as JSON by name.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError, to_json

from quickthaw import handler_place, json_values
from quickthaw.errors import InvalidRequest, InvalidSource
from quickthaw.typed_dicts import OPEN, readable

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Signature:
    """What a handler takes besides its model. InvalidSource where it takes what JSON cannot name."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        self._handler = handler
        self._named = _arguments(handler)

    @cached_property
    def _adapters(self) -> dict[str, TypeAdapter[Any] | None]:
        """By name, what reads each argument; made late, when all types of the handler's module are defined."""
        return {p.name: _adapter(self._handler, p) for p in self._named if p.kind in _BY_NAME}

    @cached_property
    def _plain(self) -> frozenset[str]:
        """The arguments whose type is JSON's own."""
        return frozenset(p.name for p in self._named if p.name in self._adapters and _is_plain(self._handler, p))

    def parameters(self) -> dict[str, Any]:
        """Return the JSON schema of the arguments.

        A parameter without annotation, or with one that has no JSON schema, takes any value.
        """
        plain = [parameter for parameter in self._named if parameter.kind in _BY_NAME]
        schema = object_schema(plain, self._adapters)
        schema["additionalProperties"] = len(plain) < len(self._named)  # what is left is **kwargs
        description = inspect.getdoc(handler_place.plain(self._handler))
        if description:
            schema["description"] = description.split("\n\n")[0]
        return schema

    def read(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """Return a call's arguments as the handler takes them, from their JSON values; InvalidRequest names wrong ones.

        Models, dataclasses, enums, dates and whatever else Pydantic reads are made of JSON as Pydantic makes them.
        Defaults that are given by `Field` are filled in.
        """
        values = {name: self._value(name, value) for name, value in sent.items()}
        for parameter in self._named:
            name = parameter.name
            if name not in values and parameter.kind in _BY_NAME and needs_filling(parameter):
                values |= default_of(name, self._adapters[name])
        return values

    def _value(self, name: str, value: Any) -> Any:
        adapter = self._adapters.get(name)
        if adapter is None:
            return value
        try:
            return adapter.validate_python(value) if name in self._plain else adapter.validate_json(to_json(value))
        except (ValidationError, PydanticSerializationError) as error:
            raise InvalidRequest(f"the input does not suit the handler: {said(name, error)}", param="input") from error


def said(name: str, error: ValidationError | PydanticSerializationError) -> str:
    """Return in words what is wrong with an argument, with the place inside of it."""
    if not isinstance(error, ValidationError):
        return f"{name}: {error}"
    return "; ".join(f"{'.'.join(map(str, (name, *each['loc'])))}: {each['msg']}" for each in error.errors())


def parameters(handler: Callable[..., Any]) -> dict[str, Any]:
    """Return the JSON schema of the handler's arguments; InvalidSource where it takes what JSON cannot name."""
    return Signature(handler).parameters()


def needs_filling(parameter: inspect.Parameter) -> bool:
    """Whether Python itself has no usable default of the parameter: none, or what pydantic's `Field` returns."""
    return parameter.default is inspect.Parameter.empty or isinstance(parameter.default, FieldInfo)


def default_of(name: str, adapter: TypeAdapter[Any] | None) -> dict[str, Any]:
    """Return the default that `Field` gives an argument, by the argument's name; InvalidRequest where it gives none."""
    found = None if adapter is None else adapter.get_default_value()
    if found is None:
        raise InvalidRequest(f"the input does not suit the handler: {name} is missing", param="input")
    return {name: found.value}


def _is_required(parameter: inspect.Parameter, adapter: TypeAdapter[Any] | None) -> bool:
    return needs_filling(parameter) and (adapter is None or adapter.get_default_value() is None)


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
        "required": [parameter.name for parameter in named if _is_required(parameter, adapters.get(parameter.name))],
        "additionalProperties": False,
    }
    return {**schema, "$defs": definitions} if definitions else schema


def bind(handler: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the call's arguments by name, as JSON values; InvalidRequest where they do not fit the signature."""
    named = _arguments(handler)
    name_of = handler_place.name_of(handler)
    try:
        bound = inspect.Signature(named).bind_partial(*args, **kwargs)
    except TypeError as error:
        raise InvalidRequest(f"{name_of}(): {error}") from error
    for parameter in named:
        missing = parameter.name not in bound.arguments and parameter.kind in _BY_NAME and needs_filling(parameter)
        if missing and _is_required(parameter, _adapter(handler, parameter)):
            raise InvalidRequest(f"{name_of}(): missing a required argument: {parameter.name!r}")
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
        raise InvalidSource(f"{handler_place.name_of(handler)}() must take the model as its first parameter")
    others = found[1:]
    for parameter in others:
        if parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL):
            name = handler_place.name_of(handler)
            raise InvalidSource(f"{name}(): {parameter} cannot be passed by name, as JSON arguments are")
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
        return adapter_of(handler, parameter, OPEN)
    except (NameError, PydanticUserError):  # imported under TYPE_CHECKING only, or nothing that JSON describes
        return None
    except (AttributeError, KeyError, SyntaxError, TypeError):  # no type at all, such as `{}` or "a number"
        return None


def adapter_of(
    function: Callable[..., Any], parameter: inspect.Parameter, typed_dicts: ConfigDict | None = None
) -> TypeAdapter[Any]:
    """Return what reads a parameter's type from JSON; `typed_dicts` says how the TypedDicts in it are read.

    Raises NameError for a type that cannot be found, PydanticUserError for one that has no JSON schema.
    """
    hint = _hint(function, parameter)
    if isinstance(parameter.default, FieldInfo):
        hint = Annotated[hint, parameter.default]
    adapter: TypeAdapter[Any] = TypeAdapter(readable(hint, typed_dicts))
    adapter.json_schema()
    return adapter


def _hint(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """Return the type of a parameter, looked up where the function under all decorators is written."""
    holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    names = getattr(handler_place.plain(function), "__globals__", {})
    return typing.get_type_hints(holder, globalns=names, include_extras=True)[parameter.name]


def _is_plain(function: Callable[..., Any], parameter: inspect.Parameter) -> bool:
    """Whether JSON has the type itself, so that no JSON has to be written and read for it."""
    if isinstance(parameter.default, FieldInfo) or parameter.annotation is inspect.Parameter.empty:
        return False
    try:
        return _holds_json(_hint(function, parameter))
    except NameError:
        return False


def _holds_json(hint: Any) -> bool:
    if hint in (str, int, float, bool, list, dict, type(None), Any, object):
        return True
    inner = typing.get_args(hint)
    return typing.get_origin(hint) in (list, dict, typing.Union, types.UnionType) and all(map(_holds_json, inner))


def _with_default(schema: dict[str, Any], default: Any) -> dict[str, Any]:
    if default is inspect.Parameter.empty or isinstance(default, FieldInfo):
        return schema
    try:
        return {**schema, "default": json_values.jsonable(default)}
    except PydanticSerializationError:
        return schema


def _jsonable(name: str, value: Any) -> Any:
    try:
        return json_values.jsonable(value)
    except PydanticSerializationError as error:
        raise InvalidRequest(f"the argument {name!r} cannot be sent as JSON: {error}", param=name) from error
