"""Reads what people write on the command line: JSON, `key=value` pairs, standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from quickthaw.errors import InvalidRequest


def handler_input(words: Sequence[str]) -> dict[str, Any]:
    """Read a handler's arguments: a JSON object, `-` for one on standard input, or `key=value` pairs."""
    if len(words) == 1 and (words[0] == "-" or words[0].lstrip()[:1] in ("{", "[", '"')):
        text = sys.stdin.read() if words[0] == "-" else words[0]
        return json_object(text)
    return pairs(words)


def words_of(words: Sequence[str]) -> dict[str, str]:
    """Return the values of `key=value` pairs as they were written; nothing where a JSON object was given."""
    return dict(word.split("=", 1) for word in words if "=" in word and word.lstrip()[:1] not in ("{", "[", '"'))


def as_text(input: dict[str, Any], written: Mapping[str, str], refused: InvalidRequest) -> dict[str, Any] | None:
    """Return the input with the value that was refused as the text that was written; None where that changes nothing.

    What looks like a number may be meant as text: the deployed function's schema decides, and says which it refuses.
    """
    name = (refused.param or "").removeprefix("input.")
    if name not in written or input.get(name) == written[name]:
        return None
    return {**input, name: written[name]}


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"the argument is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise click.UsageError('the argument must be a JSON object, for example \'{"prompt": "Hello"}\'')
    return value


def text(word: str) -> str:
    """Return a text as it is, or the content of the file that `@FILE` names."""
    return read(Path(word[1:])) if word.startswith("@") else word


def json_list(file: Path) -> list[Any]:
    """Read a JSON list from a file."""
    try:
        value = json.loads(read(file))
    except ValueError as error:
        raise click.UsageError(f"{file} is not JSON: {error}") from error
    if not isinstance(value, list):
        raise click.UsageError(f"{file} must hold a JSON list")
    return value


def compression(word: str) -> Any:
    """Read how prompts are shortened: a part such as 0.5, false, or a JSON object with ratio or budget, and by."""
    try:
        value = json.loads(word)
    except ValueError:
        value = None
    if value is True or not isinstance(value, int | float | dict):
        raise click.UsageError(
            f"--compress {word}: give the part that is kept, such as 0.5, or JSON such as '{{\"budget\": 2000}}'"
        )
    return value


def read(file: Path) -> str:
    """Read a text file."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{file} cannot be read: {error}") from error


def pairs(words: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` pairs; a value that is JSON counts as that, any other as text."""
    values: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{word!r} is neither a JSON object nor key=value")
        values[key] = _value(value)
    return values


def texts(words: Sequence[str]) -> dict[str, str]:
    """Read `key=value` pairs whose values are text."""
    values = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{word!r} is not KEY=VALUE")
        values[key] = value
    return values


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
