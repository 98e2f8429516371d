"""What pydantic finds wrong with what was sent or stored, told by its own fields and in JSON's words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import ValidationError
from pydantic_core import ErrorDetails

MOST_TOLD = 5
MOST_NAMED = 1000
"""Pydantic tells all findings or none: telling half a million takes seconds, in which nobody else is served."""

_ALTERNATIVE = re.compile(
    r"^((str|bool|int|float|[A-Z][a-z][A-Za-z]*)$|(literal|list|dict|tuple|constrained|function-\w+)[\[-])"
)
_KEY = "[key]"  # marks a name within an object, of which the step before it is the name itself
_BLOCKS = frozenset({"text", "tool_use", "tool_result", "thinking", "redacted_thinking"})
"""Types of Anthropic's blocks: between a block's place and its field, pydantic names its type."""

_PYTHON_WORDS = (
    (re.compile(r" or instance of \w+| or object to extract fields from"), ""),
    (re.compile(r", unable to (interpret input|parse string as an? \w+)$"), ""),
    (re.compile(r"\b(a valid )dictionary\b"), r"\1object"),
    (re.compile(r"\b(a valid )(?:tuple|set|frozenset)\b"), r"\1list"),
    (re.compile(r"^(?:Tuple|Set|Frozenset) should"), "List should"),
)


def told(error: ValidationError) -> str:
    """Return one message that names each field that is wrong; the same is said once.

    Of a field that may be an object or something else, what is wrong within the object is told alone.
    """
    findings = _findings(error)
    if not findings:
        return f"{error.error_count():,} values do not fit: too many to name"
    told_at = [(field_of(found["loc"]), found["msg"]) for found in findings]
    around = {path[:end] for path, _ in told_at for end, letter in enumerate(path) if letter == "."}
    said = dict.fromkeys(_said(path, message) for path, message in told_at if path not in around)
    return "; ".join(list(said)[:MOST_TOLD])


def first_field(error: ValidationError) -> str | None:
    """Return the path of the first field that is wrong; None where it is the request as a whole."""
    findings = _findings(error)
    return field_of(findings[0]["loc"]) or None if findings else None


def _findings(error: ValidationError) -> list[ErrorDetails]:
    """Return what is wrong; nothing where that is too much to be told."""
    if error.error_count() > MOST_NAMED:
        return []
    return error.errors(include_url=False, include_context=False, include_input=False)


def field_of(location: tuple[int | str, ...]) -> str:
    """Return the path to a field, without the names by which pydantic tells its alternatives apart."""
    return ".".join(_steps(location))


def _steps(location: tuple[int | str, ...]) -> Iterator[str]:
    for index, step in enumerate(location):
        within = index > 0 and isinstance(location[index - 1], int) and index + 1 < len(location)
        if isinstance(step, int) or not (step == _KEY or _ALTERNATIVE.match(step) or (within and step in _BLOCKS)):
            yield str(step)


def _said(path: str, message: str) -> str:
    message = message.removeprefix("Value error, ")
    for python, plain in _PYTHON_WORDS:
        message = python.sub(plain, message)
    return f"{path}: {message}" if path else message
