"""Where a handler is written: its file, and the name at the top of that file by which an instance finds it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from quickthaw.errors import InvalidRequest, InvalidSource


def plain(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function under decorators (`functools.wraps`, `lru_cache` and the like) and `functools.partial`."""
    while True:
        inner = inspect.unwrap(handler)
        inner = inner.func if isinstance(inner, functools.partial) else inner
        if inner is handler:
            return handler
        handler = inner


def name_of(handler: Callable[..., Any]) -> str:
    """Return the handler's own name; InvalidRequest for a callable that has none."""
    found = getattr(handler, "__name__", None) or getattr(plain(handler), "__name__", None)
    if found is None:
        raise InvalidRequest(f"{handler!r} has no name; give one: @app.function(name=…)", param="name")
    return str(found)


def find(function: Callable[..., Any], written_in: Mapping[str, Any]) -> tuple[Path, str]:
    """Return the file of a function and its name at the top of it.

    `function` is what `@app.function` made, with its `handler`; `written_in` has the global names where that was done.
    InvalidSource where no name at the top of a file leads to the function.
    """
    inner = plain(getattr(function, "handler", function))
    for names in _modules(inner, written_in):
        bound = [name for name, value in names.items() if value is function]
        own = getattr(inner, "__name__", "")
        if not bound and _at_top(inner) and callable(names.get(own)) and names is _globals(inner):
            bound = [own]  # another decorator stands above @app.function
        if bound:
            return _file(names, own or bound[0]), own if own in bound else bound[0]
    qualified = getattr(inner, "__qualname__", repr(inner))
    raise InvalidSource(f"{qualified} cannot be deployed: a handler is a function at the top level of a file")


def folder_of(handler: Callable[..., Any], written_in: Mapping[str, Any]) -> Path | None:
    """Return the folder of a handler's file; None where it was typed in."""
    for names in _modules(plain(handler), written_in):
        file = names.get("__file__")
        if isinstance(file, str) and Path(file).is_file():
            return Path(file).resolve().parent
    return None


def _modules(inner: Callable[..., Any], written_in: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    return tuple(names for names in (written_in, _globals(inner)) if names)


def _globals(inner: Callable[..., Any]) -> Mapping[str, Any]:
    return getattr(inner, "__globals__", {})


def _at_top(inner: Callable[..., Any]) -> bool:
    return getattr(inner, "__qualname__", "") == getattr(inner, "__name__", None)


def _file(names: Mapping[str, Any], name: str) -> Path:
    file = names.get("__file__")
    if not isinstance(file, str) or not Path(file).is_file():
        raise InvalidSource(f"{name} was not read from a file ({file or 'typed in'}); write it into one to deploy it")
    return Path(file).resolve()
