"""TypedDicts in types, as Pydantic reads them: before Python 3.12 it reads those of typing_extensions only."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, Union

import typing_extensions
from pydantic import ConfigDict

OPEN = ConfigDict(extra="allow")
"""Keys that a TypedDict does not name stay as they are sent."""

_MARKS = (typing.Required, typing.NotRequired, typing_extensions.ReadOnly)


def readable(hint: Any, config: ConfigDict | None = None, made: dict[Any, Any] | None = None) -> Any:
    """Return a type with each TypedDict in it replaced by one that Pydantic reads, by `config` unless it has its own.

    Those in the fields of classes stay as they are. `made` has the ones that were replaced already.
    """
    made = {} if made is None else made
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if typing_extensions.is_typeddict(origin or hint):
        return made[hint] if hint in made else _copy(hint, config, made)
    if origin is Annotated:
        return Annotated[(readable(parts[0], config, made), *parts[1:])]
    found = tuple(readable(part, config, made) for part in parts)
    if found == parts or origin is Literal:
        return hint
    if origin in (Union, types.UnionType):
        return Union[found]  # noqa: UP007 - of a tuple
    return types.GenericAlias(origin, found) if isinstance(origin, type) else hint


def _copy(hint: Any, config: ConfigDict | None, made: dict[Any, Any]) -> Any:
    """Return a TypedDict that Pydantic reads. Its fields' types are set after it is made: they may be of itself."""
    kind = typing.get_origin(hint) or hint
    given = dict(zip(getattr(kind, "__parameters__", ()), typing.get_args(hint), strict=False))
    hints = {
        name: _unmarked(found, name in kind.__required_keys__)
        for name, found in typing_extensions.get_type_hints(kind, include_extras=True).items()
    }
    make: Any = typing_extensions.TypedDict
    copy = made[hint] = make(kind.__name__, {name: _marked(Any, required) for name, (_, required) in hints.items()})
    copy.__doc__ = kind.__doc__
    copy.__pydantic_config__ = getattr(kind, "__pydantic_config__", config or ConfigDict())
    copy.__annotations__ = {
        name: _marked(readable(_filled(bare, given), config, made), required)
        for name, (bare, required) in hints.items()
    }
    return copy


def _filled(hint: Any, given: Mapping[Any, Any]) -> Any:
    """Return a type with the parameters of a generic TypedDict replaced by what is given for them."""
    if isinstance(hint, TypeVar):
        return given.get(hint, hint)
    parameters = getattr(hint, "__parameters__", ())
    is_open = bool(given) and bool(parameters) and typing.get_origin(hint) is not None
    return hint[tuple(given.get(parameter, parameter) for parameter in parameters)] if is_open else hint


def _marked(hint: Any, required: bool) -> Any:
    return typing.Required[hint] if required else typing.NotRequired[hint]


def _unmarked(hint: Any, required: bool) -> tuple[Any, bool]:
    """Return a field's type and whether it must be there.

    `required` is what the class says; it does not see the marks of annotations that are strings.
    """
    while (mark := typing.get_origin(hint)) in _MARKS:
        (hint,) = typing.get_args(hint)
        required = mark is typing.Required or (required and mark is not typing.NotRequired)
    return hint, required
