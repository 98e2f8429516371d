"""A call written as a JSON object with the tool's name and its arguments."""

from __future__ import annotations

import json
from collections.abc import Collection

from quickthaw_backends.engines.tool_forms.json_scanner import SPACE, JsonScanner, Step, escaped
from quickthaw_backends.engines.tool_forms.piece import Gathering

_ARGUMENTS = ("arguments", "parameters")


class JsonCall:
    """Reads one object. The call begins once its name was read and its arguments have begun; other keys are skipped.

    Arguments that came before the name are kept until then. Arguments that are a string of JSON are taken out of it.
    """

    def __init__(self, names: Collection[str], gathering: Gathering, *, needs_arguments: bool = False) -> None:
        """`needs_arguments`: an object without them is no call, rather than one with none."""
        self._names, self._gathering = names, gathering
        self._needs_arguments = needs_arguments
        self._expects = "open"  # open, key or end, key, colon, value, comma
        self._scanner = JsonScanner()
        self._raw = ""  # of the key or value that is being read
        self._key = ""
        self._name: str | None = None
        self._kept: str | None = None  # arguments that came before the name
        self._begun = False
        self._complete = False  # whether arguments were read

    def push(self, character: str) -> Step:
        """Take the next character: DONE with the last brace, WRONG where this is no call of a known tool."""
        if self._expects in ("key", "value"):
            return self._within(character)
        if character in SPACE:
            return Step.MORE
        return self._punctuation(character)

    def _punctuation(self, character: str) -> Step:
        expects = self._expects
        if expects == "open" and character == "{":
            self._expects = "key or end"
        elif expects in ("comma", "key or end") and character == "}":
            return self._finish()
        elif expects == "comma" and character == ",":
            self._expects = "next key"
        elif expects in ("key or end", "next key") and character == '"':
            return self._begin("key", character)
        elif expects == "colon" and character == ":":
            return self._value_follows()
        else:
            return Step.WRONG
        return Step.MORE

    def _value_follows(self) -> Step:
        if self._key in _ARGUMENTS and self._complete:
            return Step.WRONG
        return self._begin("value")

    def _begin(self, what: str, character: str = "") -> Step:
        self._expects, self._scanner, self._raw = what, JsonScanner(), ""
        return self._within(character) if character else Step.MORE

    @property
    def _streams(self) -> bool:
        return self._expects == "value" and self._key in _ARGUMENTS and self._name is not None

    def _within(self, character: str) -> Step:
        if self._streams and not self._raw and character not in SPACE and character not in '{"n':
            return Step.WRONG  # arguments are an object, a string that holds one, or null
        in_string = self._scanner.in_string
        step = self._scanner.push(character)
        if step is Step.WRONG:
            return step
        if step is not Step.PAST:
            self._take(escaped(character) if in_string else character)
        if step is Step.MORE:
            return step
        ended = self._end_key() if self._expects == "key" else self._end_value()
        return ended if step is Step.DONE or ended is Step.WRONG else self.push(character)

    def _take(self, text: str) -> None:
        """Keep more of the key or value; an object of arguments goes on at once."""
        if not self._raw:
            text = text.lstrip(SPACE)
        self._raw += text
        if self._streams and self._raw.startswith("{") and text:
            self._begin_call()
            self._gathering.add_arguments(text)

    def _end_key(self) -> Step:
        self._key, self._expects = json.loads(self._raw), "colon"
        return Step.MORE

    def _end_value(self) -> Step:
        streams, self._expects = self._streams, "comma"
        if self._key == "name":
            return self._named(json.loads(self._raw) if self._raw.startswith('"') else None)
        if self._key not in _ARGUMENTS:
            return Step.MORE
        self._complete = True
        if streams:
            return self._whole_arguments() if not self._raw.startswith("{") else Step.MORE
        self._kept = _object_text(self._raw)
        return Step.WRONG if self._kept is None else Step.MORE

    def _named(self, name: str | None) -> Step:
        if self._name is not None or name is None or name not in self._names:
            return Step.WRONG
        self._name = name
        if self._kept is not None:
            self._begin_call()
            self._gathering.add_arguments(self._kept)
        return Step.MORE

    def _whole_arguments(self) -> Step:
        text = _object_text(self._raw)
        if text is None:
            return Step.WRONG
        self._begin_call()
        self._gathering.add_arguments(text)
        return Step.MORE

    def _begin_call(self) -> None:
        if not self._begun and self._name is not None:
            self._begun = True
            self._gathering.begin_call(self._name)

    def _finish(self) -> Step:
        if self._name is None or (self._needs_arguments and not self._begun):
            return Step.WRONG
        if not self._begun:
            self._begin_call()
            self._gathering.add_arguments("{}")
        return Step.DONE


def _object_text(raw: str) -> str | None:
    """Return the JSON text of an object that is given as one, as a string of JSON, or as null; None: it is neither."""
    if raw.startswith("{"):
        return raw
    if raw in ("null", '""'):
        return "{}"
    try:
        text = json.loads(raw)
        return text if isinstance(text, str) and _is_utf8(text) and isinstance(json.loads(text), dict) else None
    except (ValueError, RecursionError):
        return None


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
