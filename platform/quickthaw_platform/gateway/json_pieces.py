"""Large answers as JSON: written piece by piece, so that others are served in between."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from flask import Response

from quickthaw_platform.gateway.turns import in_turns

LEVELS = 6
"""Objects and lists within each other that are written part by part: so deep are the tokens of an answer."""

_encode = json.JSONEncoder(separators=(",", ":")).encode


def json_response(value: Any) -> Response:
    """Return a value in one piece."""
    return Response("".join(in_turns(pieces(value, _encode))) + "\n", mimetype="application/json")


def pieces(value: Any, encode: Callable[[Any], str], levels: int = LEVELS) -> Iterator[str]:
    """Yield the JSON of a value; the pieces are small where it has many parts."""
    if levels and value and isinstance(value, dict):
        for index, (name, part) in enumerate(value.items()):
            yield f"{',' if index else '{'}{encode(name)}:"
            yield from pieces(part, encode, levels - 1)
        yield "}"
    elif levels and value and isinstance(value, list | tuple) and isinstance(value[0], dict | list | tuple):
        for index, part in enumerate(value):
            yield "," if index else "["
            yield from pieces(part, encode, levels - 1)
        yield "]"
    else:
        yield encode(value)
