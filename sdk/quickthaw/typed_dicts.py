"""TypedDicts in types, as Pydantic reads them: before Python 3.12 it reads those of typing_extensions only."""

from __future__ import annotations

import types
import typing
from typing import Annotated, Any, Literal, Union

import typing_extensions
from pydantic import ConfigDict

OPEN = ConfigDict(extra="allow")
"""Keys that a TypedDict does not name stay as they are sent."""

_MARKS = (typing.Required, typing.NotRequired, typing_extensions.ReadOnly)


def readable(hint: Any, config: ConfigDict | None = None, within: tuple[Any, ...] = ()) -> Any:
    """Return a type with each TypedDict in it replaced by one that Pydantic reads, by `config` unless it has its own.

    One that holds itself stays as it is, and so do those in the fields of classes. `within` are those around `hint`.
    """
    if typing_extensions.is_typeddict(hint):
        return hint if hint in within else _copy(hint, config, (*within, hint))
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return Annotated[(readable(parts[0], config, within), *parts[1:])]
    found = tuple(readable(part, config, within) for part in parts)
    if found == parts or origin is Literal:
        return hint
    if origin in (Union, types.UnionType):
        return Union[found]  # noqa: UP007 - of a tuple
    return types.GenericAlias(origin, found) if isinstance(origin, type) else hint


def _copy(kind: Any, config: ConfigDict | None, within: tuple[Any, ...]) -> Any:
    hints = typing_extensions.get_type_hints(kind, include_extras=True)
    fields: dict[str, Any] = {}
    for name, hint in hints.items():
        bare, required = _unmarked(hint, name in kind.__required_keys__)
        found = readable(bare, config, within)
        fields[name] = typing.Required[found] if required else typing.NotRequired[found]
    make: Any = typing_extensions.TypedDict
    copy = make(kind.__name__, fields)
    copy.__doc__ = kind.__doc__
    copy.__pydantic_config__ = getattr(kind, "__pydantic_config__", config or ConfigDict())
    return copy


def _unmarked(hint: Any, required: bool) -> tuple[Any, bool]:
    """Return a field's type and whether it must be there.

    `required` is what the class says; it does not see the marks of annotations that are strings.
    """
    while (mark := typing.get_origin(hint)) in _MARKS:
        (hint,) = typing.get_args(hint)
        required = mark is typing.Required or (required and mark is not typing.NotRequired)
    return hint, required
