"""Reads what people write on the command line: JSON, `key=value` pairs, standard input."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from quickthaw.errors import InvalidRequest


def handler_input(words: Sequence[str]) -> dict[str, Any]:
    """Read a handler's arguments: a JSON object, `-` for one on standard input, or `key=value` pairs."""
    if len(words) == 1 and (words[0] == "-" or words[0].lstrip()[:1] in ("{", "[", '"')):
        return json_object(standard_input() if words[0] == "-" else words[0])
    return pairs(words)


def words_of(words: Sequence[str]) -> dict[str, str]:
    """Return the values of `key=value` pairs as they were written; nothing where a JSON object was given."""
    pairs = (word for word in map(whole, words) if "=" in word and word.lstrip()[:1] not in ("{", "[", '"'))
    return dict(word.split("=", 1) for word in pairs)


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
        value = _json(whole(text))
    except ValueError as error:
        raise click.UsageError(f"the argument is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise click.UsageError('the argument must be a JSON object, for example \'{"prompt": "Hello"}\'')
    return value


def text(word: str) -> str:
    """Return a text as it is, or the content of the file that `@FILE` names."""
    return read(Path(word[1:])) if word.startswith("@") else whole(word)


def json_list(file: Path) -> list[Any]:
    """Read a JSON list from a file."""
    try:
        value = _json(read(file))
    except ValueError as error:
        raise click.UsageError(f"{file} is not JSON: {error}") from error
    if not isinstance(value, list):
        raise click.UsageError(f"{file} must hold a JSON list")
    return value


def compression(word: str) -> Any:
    """Read how prompts are shortened: a part such as 0.5, false, or a JSON object with ratio or budget, and by."""
    try:
        value = _json(word)
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
        return file.expanduser().read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{file} is not text in UTF-8 ({error.reason}); save it as that") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise click.UsageError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def standard_input() -> str:
    """Read standard input: UTF-8 whatever the locale, without the mark that some editors put before it."""
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"standard input is not text in UTF-8: {error.reason} at byte {error.start}") from error


def whole(text: str) -> str:
    """Return an argument as text. Bytes that the locale does not know come as halves of surrogate pairs."""
    if text.isprintable() or not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError as error:
        raise click.UsageError(f"{ascii(text)[:80]} is not text in UTF-8") from error


def pairs(words: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` pairs; a value that is JSON counts as that, any other as text."""
    values: dict[str, Any] = {}
    for word in map(whole, words):
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{word!r} is neither a JSON object nor key=value")
        refuse_again(key, values)
        values[key] = _value(value)
    return values


def texts(words: Sequence[str]) -> dict[str, str]:
    """Read `key=value` pairs whose values are text."""
    values: dict[str, str] = {}
    for word in map(whole, words):
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{word!r} is not KEY=VALUE")
        refuse_again(key, values)
        values[key] = value
    return values


def _json(text: str) -> Any:
    """Read JSON; ValueError for what is none, with NaN and Infinity, which Python's reader would take."""
    try:
        return json.loads(text, parse_constant=_no_json)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _no_json(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")


def refuse_again(key: str, known: Mapping[str, object]) -> None:
    """Raise UsageError where the key is known already."""
    if key in known:
        raise click.UsageError(f"{key} is given twice")


def _value(text: str) -> Any:
    try:
        return _json(text)
    except ValueError:
        return text
