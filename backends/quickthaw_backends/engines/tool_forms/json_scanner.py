"""One JSON value, recognised character by character."""

from __future__ import annotations

import json
from enum import Enum

SPACE = " \t\n\r"
_ESCAPES = '"\\/bfnrtu'
_HEX = "0123456789abcdefABCDEF"
_NUMBER = "0123456789.eE+-"
_LITERALS = ("true", "false", "null")


class Step(Enum):
    """What a character meant."""

    MORE = "it belongs to the value, which goes on"
    DONE = "it is the value's last"
    PAST = "the value ended before it"
    WRONG = "no such value goes on with it"


class JsonScanner:
    """Recognises one value. Control characters in strings are let pass: models write them, and they can be escaped."""

    def __init__(self) -> None:
        self._open: list[str] = []  # brackets that are open
        self._expects = "value"  # value, value or end, key, key or end, colon, comma, number, literal
        self._word = ""  # of a number or literal
        self._escape = 0  # characters of an escape that are to come
        self.in_string = False
        self._key = False  # whether the string is a key

    def push(self, character: str) -> Step:
        """Take the next character. After anything but MORE no more may come."""
        if self.in_string:
            return self._string(character)
        if self._expects == "number":
            return self._number(character)
        if self._expects == "literal":
            return self._literal(character)
        if character in SPACE:
            return Step.MORE
        return self._token(character)

    def _token(self, character: str) -> Step:
        expects = self._expects
        if expects == "colon":
            return self._expect("value") if character == ":" else Step.WRONG
        if expects == "comma" and character == ",":
            return self._expect("key" if self._open[-1] == "{" else "value")
        if character in "}]":
            return self._close(character)
        if expects in ("key", "key or end"):
            return self._begin_string(key=True) if character == '"' else Step.WRONG
        return Step.WRONG if expects == "comma" else self._value(character)

    def _value(self, character: str) -> Step:
        if character == '"':
            return self._begin_string(key=False)
        if character in "{[":
            self._open.append(character)
            return self._expect("key or end" if character == "{" else "value or end")
        self._word = character
        if character in "-0123456789":
            return self._expect("number")
        return self._expect("literal") if character in "tfn" else Step.WRONG

    def _close(self, character: str) -> Step:
        pairs = {"{": ("}", "key or end"), "[": ("]", "value or end")}
        closer, empty = pairs[self._open[-1]] if self._open else ("", "")
        if character != closer or self._expects not in ("comma", empty):
            return Step.WRONG
        self._open.pop()
        return self._end()

    def _begin_string(self, *, key: bool) -> Step:
        self.in_string, self._key = True, key
        return Step.MORE

    def _string(self, character: str) -> Step:
        if self._escape:
            return self._escaped(character)
        if character == "\\":
            self._escape = 1
        elif character == '"':
            self.in_string = False
            return self._expect("colon") if self._key else self._end()
        return Step.MORE

    def _escaped(self, character: str) -> Step:
        first = self._escape == 1 and self._word != "u"
        if character not in (_ESCAPES if first else _HEX):
            return Step.WRONG
        if first and character == "u":
            self._escape, self._word = 4, "u"
            return Step.MORE
        self._escape -= 1
        self._word = "u" if self._escape else ""
        return Step.MORE

    def _number(self, character: str) -> Step:
        if character in _NUMBER:
            self._word += character
            return Step.MORE
        if not _is_number(self._word):
            return Step.WRONG
        if self._end() is Step.DONE:
            return Step.PAST
        return self.push(character)

    def _literal(self, character: str) -> Step:
        self._word += character
        if not any(word.startswith(self._word) for word in _LITERALS):
            return Step.WRONG
        return self._end() if self._word in _LITERALS else Step.MORE

    def _end(self) -> Step:
        """Return what the end of a value means: the end of all, or that its container goes on."""
        self._word = ""
        return self._expect("comma") if self._open else Step.DONE

    def _expect(self, what: str) -> Step:
        self._expects = what
        return Step.MORE


def escaped(character: str) -> str:
    """Return a character of a string as JSON has it: control characters are escaped."""
    return character if character >= " " else json.dumps(character)[1:-1]


def _is_number(word: str) -> bool:
    whole, *rest = word.removeprefix("-").replace("E", "e").split("e")
    integer, *fraction = whole.split(".")
    exponent = [part.lstrip("+-") if part[:2] not in ("+-", "-+", "++", "--") else "" for part in rest]
    digits = [integer, *fraction, *exponent]
    plain = len(rest) <= 1 and len(fraction) <= 1 and all(part.isascii() and part.isdigit() for part in digits)
    return plain and (integer == "0" or not integer.startswith("0"))
