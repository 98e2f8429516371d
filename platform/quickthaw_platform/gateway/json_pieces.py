"""Large values as JSON: read and written piece by piece, so that others are served in between."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from flask import Response

from quickthaw_platform.gateway.turns import give_way, in_turns

SMALL_CHARACTERS = 256 << 10
"""Shorter texts are read in one go, which takes a few milliseconds."""

AT_ONCE = 1_000
"""Numbers and texts of a list or object that are written in one go."""

_encode = json.JSONEncoder(separators=(",", ":")).encode


def read(text: str) -> Any:
    """Return the value of a JSON text."""
    return json.loads(text) if len(text) < SMALL_CHARACTERS else json.loads(text, **_IN_TURNS)


def _in_turns(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `make`, giving way before it: the reader of JSON can be left where it calls us."""

    def made(part: Any) -> Any:
        give_way()
        return make(part)

    return made


_IN_TURNS: dict[str, Any] = {
    "object_hook": _in_turns(lambda value: value),
    "parse_int": _in_turns(int),
    "parse_float": _in_turns(float),
}
"""Of all parts of a value these take the most time to read; others, which take no calls, are done before it shows."""


def json_response(value: Any, status: int = 200) -> Response:
    """Return a value in one piece."""
    return Response(written(value, _encode) + "\n", status, mimetype="application/json")


def written(value: Any, encode: Callable[[Any], str]) -> str:
    """Return the JSON of a value; `encode` writes small ones, without spaces."""
    return "".join(in_turns(_pieces(value, encode)))


def _pieces(value: Any, encode: Callable[[Any], str]) -> Iterator[str]:
    """Yield the JSON of a value in pieces of which none takes long."""
    if not isinstance(value, dict | list | tuple) or (len(value) <= AT_ONCE and _is_flat(value)):
        yield encode(value)
    elif isinstance(value, dict):
        for index, (name, part) in enumerate(value.items()):
            yield f"{',' if index else '{'}{encode(name)}:"
            yield from _pieces(part, encode)
        yield "}"
    else:
        parts = iter(value)
        before = "["
        while some := list(islice(parts, AT_ONCE)):
            if _is_flat(some):
                yield before + encode(some)[1:-1]
            else:
                yield before
                yield from _each(some, encode)
            before = ","
        yield "]"


def _each(parts: Sequence[Any], encode: Callable[[Any], str]) -> Iterator[str]:
    for index, part in enumerate(parts):
        if index:
            yield ","
        yield from _pieces(part, encode)


def _is_flat(value: Any) -> bool:
    """Whether no part of an object or list has parts of its own, or is long."""
    parts = value.values() if isinstance(value, dict) else value
    return not any(isinstance(part, dict | list | tuple) for part in parts)
