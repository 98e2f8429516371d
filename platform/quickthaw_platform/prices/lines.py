"""Where in a TOML text a key stands: the parser of the standard library keeps no positions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

Path = tuple[str | int, ...]

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"^\s*(\[\[?)\s*({_DOTTED})\s*\]")
_PAIR = re.compile(rf"^\s*({_DOTTED})\s*=(.*)$")
_STRINGS = re.compile(r"""\"(?:\\.|[^"\\])*"|'[^']*'""")
_QUOTES = ('"""', "'''")


def line_of(text: str, path: Sequence[str | int]) -> int:
    """Return the line, from 1, of the key at `path`, or of the nearest key around it that the text has.

    Tables, arrays of tables, dotted keys and inline tables are followed; what stands inside an inline table or an
    array has the line on which that begins.
    """
    found = _positions(text)
    wanted = tuple(path)
    while wanted and wanted not in found:
        wanted = wanted[:-1]
    return found.get(wanted, 1)


def _positions(text: str) -> dict[Path, int]:
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, line in _statements(text):
        header, pair = _HEADER.match(line), _PAIR.match(line)
        if header is not None:
            table = _opened(header[1] == "[[", _parts(header[2]), counts)
            found.setdefault(table, number)
        elif pair is not None:
            parts = _parts(pair[1])
            for length in range(1, len(parts) + 1):
                found.setdefault((*table, *parts[:length]), number)
    return found


def _opened(many: bool, parts: Path, counts: dict[Path, int]) -> Path:
    """Return the path of the table that a header opens; inside an array of tables that is the latest one of it."""
    path: Path = ()
    for depth, part in enumerate(parts):
        path = (*path, part)
        last = depth == len(parts) - 1
        if last and many:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _parts(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in re.findall(_KEY, dotted))


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield the first line of each statement: the rest of a string or an array over several lines is left out."""
    until: str | None = None
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        if until is not None:
            until = None if until in line else until
            continue
        if depth == 0:
            yield number, line
        opened = next((quote for quote in _QUOTES if line.count(quote) % 2), None)
        if opened is not None:
            until = opened
        elif _PAIR.match(line) or depth:
            bare = _STRINGS.sub("", line).partition("#")[0].partition("=" if depth == 0 else "\0")
            rest = bare[2] if depth == 0 else bare[0]
            depth = max(0, depth + rest.count("[") - rest.count("]"))
