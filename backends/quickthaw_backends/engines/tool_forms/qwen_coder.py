"""The form of Qwen3-Coder: tags around the name and around each argument, whose values stand as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from quickthaw_backends.engines.tool_forms import lark
from quickthaw_backends.engines.tool_forms.form import Asked, Form, Tools
from quickthaw_backends.engines.tool_forms.json_scanner import SPACE, Step
from quickthaw_backends.engines.tool_forms.piece import Gathering

_OPENING, _CLOSING = "<tool_call>", "</tool_call>"
_FUNCTION, _FUNCTION_END = "<function=", "</function>"
_PARAMETER, _PARAMETER_END = "<parameter=", "</parameter>"
_ENDS = (_PARAMETER_END, f"\n{_PARAMETER_END}")


class QwenCoderCall:
    """Reads one call. A text is given as it comes; a value of any other type once it is whole."""

    def __init__(self, tools: Tools, gathering: Gathering) -> None:
        self._tools, self._gathering = tools, gathering
        self._read: Callable[[str], Step] = self._function
        self._name = ""
        self._key = ""
        self._keys: set[str] = set()
        self._word = ""  # what was read of a tag or value, and not given
        self._text = False  # whether the value is a text, which is given as it comes

    def push(self, character: str) -> Step:
        """Take the next character: DONE with the last of the tag that ends the function."""
        if character in SPACE and not self._word and self._read in (self._function, self._inside):
            return Step.MORE
        return self._read(character)

    def _go_on(self, read: Callable[[str], Step]) -> Step:
        self._read, self._word = read, ""
        return Step.MORE

    def _function(self, character: str) -> Step:
        self._word += character
        if self._word == _FUNCTION:
            return self._go_on(self._function_name)
        return Step.MORE if _FUNCTION.startswith(self._word) else Step.WRONG

    def _function_name(self, character: str) -> Step:
        if character == ">":
            self._name = self._word
            return self._go_on(self._inside) if self._name in self._tools else Step.WRONG
        self._word += character
        return Step.MORE if any(name.startswith(self._word) for name in self._tools) else Step.WRONG

    def _inside(self, character: str) -> Step:
        self._word += character
        if self._word == _PARAMETER:
            return self._go_on(self._parameter_name)
        if self._word == _FUNCTION_END:
            return self._end_call()
        return Step.MORE if any(tag.startswith(self._word) for tag in (_PARAMETER, _FUNCTION_END)) else Step.WRONG

    def _parameter_name(self, character: str) -> Step:
        if character != ">":
            self._word += character
            return Step.WRONG if character in "<\n" else Step.MORE
        self._key = self._word
        if not self._key or self._key in self._keys:
            return Step.WRONG
        self._text = _schema(self._tools[self._name], self._key).get("type") == "string"
        if self._text:
            self._give('"')
        return self._go_on(self._before_value)

    def _before_value(self, character: str) -> Step:
        """Skip the line break that comes before a value."""
        self._go_on(self._value)
        return Step.MORE if character == "\n" else self._value(character)

    def _value(self, character: str) -> Step:
        self._word += character
        if self._text:
            return self._go_on_with_text()
        if not self._word.endswith(_PARAMETER_END):
            return Step.MORE
        self._give(_json(self._word.removesuffix(_PARAMETER_END)))
        return self._go_on(self._inside)

    def _go_on_with_text(self) -> Step:
        """Give all but what may be the value's end."""
        while self._word:
            if self._word in _ENDS:
                self._gathering.add_arguments('"')
                return self._go_on(self._inside)
            if any(end.startswith(self._word) for end in _ENDS):
                break
            self._gathering.add_arguments(_inner(self._word[0]))
            self._word = self._word[1:]
        return Step.MORE

    def _give(self, value: str) -> None:
        """Give the key and the value, or its beginning; a call begins with its first argument."""
        if not self._keys:
            self._gathering.begin_call(self._name)
        self._gathering.add_arguments(f"{', ' if self._keys else '{'}{json.dumps(self._key)}: {value}")
        self._keys.add(self._key)

    def _end_call(self) -> Step:
        if not self._keys:
            self._gathering.begin_call(self._name)
        self._gathering.add_arguments("}" if self._keys else "{}")
        return Step.DONE


def _schema(function: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    properties = (function.get("parameters") or {}).get("properties", {})
    schema = properties.get(key)
    return schema if isinstance(schema, Mapping) else {}


def _inner(character: str) -> str:
    """Return a character as it stands within a JSON string."""
    return json.dumps(character, ensure_ascii=False)[1:-1]


def _json(written: str) -> str:
    """Return a value as JSON text: JSON as it is, anything else as a text."""
    value = written.strip(SPACE)
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return json.dumps(written.strip("\n"), ensure_ascii=False)
    return value


def _rules(asked: Asked) -> str:
    opening, closing = asked.marker(_OPENING), asked.marker(_CLOSING)
    indices = range(len(asked.functions))
    call, tail = " | ".join(f"call_{index}" for index in indices), lark.literal(f"{_FUNCTION_END}\n")
    rules = [f"calls: call {asked.repeated(f'NEXT {opening} call')}", r"NEXT: /\n?/", f"call: {call}"]
    for index, function in enumerate(asked.functions):
        head = lark.literal(f"\n{_FUNCTION}{function['name']}>\n")
        parameters = lark.parameters(function)
        given = [f"given_{index}_{number}{'' if one.required else '?'}" for number, one in enumerate(parameters)]
        rules.append(f"call_{index}: {head} {' '.join(given)} {tail} {closing}")
        for number, parameter in enumerate(parameters):
            rules += _given(f"{index}_{number}", parameter)
    return "\n".join(rules)


def _given(place: str, parameter: lark.Parameter) -> list[str]:
    """Return the rules of one argument."""
    head, tail = lark.literal(f"{_PARAMETER}{parameter.name}>\n"), lark.literal(f"\n{_PARAMETER_END}\n")
    if not parameter.is_text:
        return [f"given_{place}: {head} value_{place} {tail}", f"value_{place}: {parameter.value}"]
    if parameter.choices:
        choices = " | ".join(lark.literal(f"{choice}\n{_PARAMETER_END}\n") for choice in parameter.choices)
        return [f"given_{place}: {head} ({choices})"]
    ended = rf"\n{lark.pattern(_PARAMETER_END)}\n"
    return [f"given_{place}: {head} text_{place}", f"text_{place}[lazy]: /(?s:.*){ended}/"]


QWEN_CODER = Form(
    "qwen_coder",
    block=QwenCoderCall,
    rules=_rules,
    openings=(_OPENING,),
    closings=(_CLOSING,),
    specials=(_OPENING, _CLOSING),
)
