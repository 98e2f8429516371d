"""Large values as JSON: read and written piece by piece, so that others are served in between."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from flask import Response

from quickthaw_platform.gateway.turns import give_way, in_turns

SMALL_CHARACTERS = 256 << 10
"""Shorter texts are read in one go, which takes a few milliseconds."""

SMALL_PARTS = 1_000
"""A value with no more parts, those of its parts among them, is written in one go."""

ITEMS = 100
"""Of a list that is larger, so many items are looked at together."""

_INNER = frozenset({dict, list, tuple})
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
    if not isinstance(value, dict | list | tuple) or _is_small(value):
        yield encode(value)
    elif isinstance(value, dict):
        for index, (name, part) in enumerate(value.items()):
            yield f"{',' if index else '{'}{encode(name)}:"
            yield from _pieces(part, encode)
        yield "}"
    else:
        items = iter(value)
        before = "["
        while some := list(islice(items, ITEMS)):
            if _is_small(some):
                yield before + encode(some)[1:-1]
            else:
                yield before
                yield from _each(some, encode)
            before = ","
        yield "]"


def _each(items: Sequence[Any], encode: Callable[[Any], str]) -> Iterator[str]:
    for index, item in enumerate(items):
        if index:
            yield ","
        yield from _pieces(item, encode)


def _is_small(value: Any) -> bool:
    left, level = SMALL_PARTS, [value]
    while level:
        inner = chain.from_iterable(part.values() if isinstance(part, dict) else part for part in level)
        parts = list(islice(inner, left + 1))
        left -= len(parts)
        if left < 0:
            return False
        level = [] if _INNER.isdisjoint(map(type, parts)) else [part for part in parts if type(part) in _INNER]
    return True
