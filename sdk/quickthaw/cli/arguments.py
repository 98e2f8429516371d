"""Reads what people write on the command line: JSON, `key=value` pairs, standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click


def handler_input(words: Sequence[str]) -> dict[str, Any]:
    """Read a handler's arguments: a JSON object, `-` for one on standard input, or `key=value` pairs."""
    if len(words) == 1 and (words[0] == "-" or words[0].lstrip()[:1] in ("{", "[", '"')):
        text = sys.stdin.read() if words[0] == "-" else words[0]
        return json_object(text)
    return pairs(words)


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"the argument is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise click.UsageError('the argument must be a JSON object, for example \'{"prompt": "Hello"}\'')
    return value


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
