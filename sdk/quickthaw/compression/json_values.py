"""JSON in a text: where it is, which of it may not be touched, and what shape it has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from quickthaw.compression.segments import Range

PROSE_WORDS = 12
"""A string value of so many words or more is prose: words within it may go. A shorter one stays as it is."""

_MOST_READ = 4
"""How many times the text's length may be parsed in all, where brackets that are no JSON hold others."""

_TOKEN = re.compile(r'\\.|["\[\]{}\n]', re.DOTALL)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?', re.DOTALL)
_BEGINS = re.compile(r'\{\s*["}]|\[\s*["{\[\]\-0-9tfn]')
_OPENING = {"]": "[", "}": "{"}


class _Literal(str):
    """A number as it is written."""


class _Object(tuple[tuple[str, object], ...]):
    """An object's pairs; keys that stand twice are there twice."""


def json_values(text: str) -> list[Range]:
    """Return the outermost objects and arrays that parse, in order. Linear."""
    found: list[Range] = []
    left = _MOST_READ * len(text)
    for start, end in _groups(text):
        if (found and start < found[-1][1]) or end - start > left or not _BEGINS.match(text, start):
            continue
        left -= end - start
        try:
            _parsed(text[start:end])
        except (ValueError, RecursionError):
            continue
        found.append((start, end))
    return found


def untouchable(text: str, value: Range) -> Iterator[Range]:
    """Yield the parts of a JSON value that stay as they are: all but the insides of long strings."""
    start, end = value
    for match in _STRING.finditer(text, start, end):
        inside = match[1]
        if match[2] is None and "\\" not in inside and inside.count(" ") >= PROSE_WORDS - 1:
            yield start, match.start(1)
            start = match.end(1)
    yield start, end


def shape(text: str, value: Range) -> object:
    """Return the keys and types of a JSON value, nested; numbers and literals as they are written."""
    return _shape(_parsed(text[value[0] : value[1]]))


def _groups(text: str) -> list[Range]:
    """Return all pairs of brackets that match, by their start; brackets in strings are none."""
    pairs: list[Range] = []
    stack: list[tuple[str, int]] = []
    in_string = False
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == "\n":
            in_string = False
        elif token == '"':
            in_string = not in_string and bool(stack)
        elif in_string or token[0] == "\\":
            continue
        elif token in _OPENING:
            if stack and stack[-1][0] == _OPENING[token]:
                pairs.append((stack.pop()[1], match.end()))
        else:
            stack.append((token, match.start()))
    return sorted(pairs)


def _parsed(text: str) -> object:
    return json.loads(
        text, parse_float=_Literal, parse_int=_Literal, parse_constant=_Literal, object_pairs_hook=_Object
    )


def _shape(value: object) -> object:
    if isinstance(value, _Object):
        return tuple((key, _shape(inner)) for key, inner in value)
    if isinstance(value, list):
        return [_shape(inner) for inner in value]
    return str if type(value) is str else value
