"""Calls as Python writes them, in a list: [f(a=1, b="x"), g()], as Llama 3.2 and 4 do."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Callable

from quickthaw_backends.engines.tool_forms import lark
from quickthaw_backends.engines.tool_forms.form import Asked, Form, Tools
from quickthaw_backends.engines.tool_forms.json_scanner import SPACE, Step
from quickthaw_backends.engines.tool_forms.piece import Gathering

_START, _END = "<|python_start|>", "<|python_end|>"
_PAIRS = {")": "(", "]": "[", "}": "{"}


class PythonicCalls:
    """Reads the list. An argument is given, as JSON, once its value is whole, and a call begins with its first."""

    def __init__(self, tools: Tools, gathering: Gathering) -> None:
        self._tools, self._gathering = tools, gathering
        self._step: Callable[[str], Step] = self._open
        self._word = ""  # of the name, key or value that is being read
        self._key = ""
        self._called = ""  # the tool of the call that is being read
        self._keys: set[str] = set()  # the arguments that it has
        self._quote = ""  # that the string within a value began with
        self._escape = False
        self._brackets: list[str] = []  # that are open within a value

    def push(self, character: str) -> Step:
        """Take the next character: DONE with the list's last bracket."""
        if character in SPACE and self._step != self._value:
            return Step.MORE
        return self._step(character)

    def _open(self, character: str) -> Step:
        return self._go_on(self._name) if character == "[" else Step.WRONG

    def _name(self, character: str) -> Step:
        if character != "(":
            self._word += character
            return Step.MORE if any(name.startswith(self._word) for name in self._tools) else Step.WRONG
        if self._word not in self._tools or self._gathering.full:
            return Step.WRONG
        self._called, self._keys = self._word, set()
        return self._go_on(self._argument)

    def _argument(self, character: str) -> Step:
        if character == ")" and not self._word:
            return self._end_call()
        if character == "=" and self._word and self._word not in self._keys:
            self._key = self._word
            return self._go_on(self._value)
        self._word += character
        return Step.WRONG if character in "()[]{}'\",=" else Step.MORE

    def _value(self, character: str) -> Step:
        if self._quote:
            self._in_string(character)
        elif character in ",)" and not self._brackets:
            return self._end_value(character)
        elif character in "'\"":
            self._quote = character
        elif character in "([{":
            self._brackets.append(character)
        elif character in _PAIRS and (not self._brackets or self._brackets.pop() != _PAIRS[character]):
            return Step.WRONG
        self._word += character
        return Step.MORE

    def _in_string(self, character: str) -> None:
        if self._escape:
            self._escape = False
        elif character == "\\":
            self._escape = True
        elif character == self._quote:
            self._quote = ""

    def _end_value(self, character: str) -> Step:
        value = _json(self._word)
        if value is None:
            return Step.WRONG
        before = ", " if self._keys else "{"
        if not self._keys:
            self._gathering.begin_call(self._called)
        self._gathering.add_arguments(f"{before}{json.dumps(self._key)}: {value}")
        self._keys.add(self._key)
        self._go_on(self._argument)
        return self._end_call() if character == ")" else Step.MORE

    def _end_call(self) -> Step:
        if not self._keys:
            self._gathering.begin_call(self._called)
        self._gathering.add_arguments("}" if self._keys else "{}")
        return self._go_on(self._after)

    def _after(self, character: str) -> Step:
        if character == ",":
            return self._go_on(self._name)
        return Step.DONE if character == "]" else Step.WRONG

    def _go_on(self, step: Callable[[str], Step]) -> Step:
        self._step, self._word = step, ""
        return Step.MORE


def _json(written: str) -> str | None:
    """Return a Python or JSON value as JSON text; None where it is neither."""
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        value = _literal(written.strip())
        if value is None and written.strip() != "None":
            return None
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        return None
    return text


def _literal(written: str) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            return ast.literal_eval(written)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _rules(asked: Asked) -> str:
    """Return the rules; the first word of the list reaches up to the bracket, so that text cannot begin like it."""
    indices = range(len(asked.functions))
    names = [function["name"] for function in asked.functions]
    firsts = " | ".join(f"{lark.literal(f'[{names[i]}(')} inside_{i}" for i in indices)
    others = " | ".join(f"{lark.literal(f', {names[i]}(')} inside_{i}" for i in indices)
    rules = [f'calls: ({firsts}) {asked.repeated(others)} "]"']
    for index, function in enumerate(asked.functions):
        rules += _inside(index, lark.parameters(function))
    return "\n".join(rules)


def _inside(index: int, parameters: list[lark.Parameter]) -> list[str]:
    """Return `inside_<index>`: what stands between a call's brackets and the closing one."""
    rules = []
    for number, parameter in enumerate(parameters):
        rules.append(f"value_{index}_{number}: {parameter.value}")
        rules.append(f"given_{index}_{number}: {lark.literal(f'{parameter.name}=')} value_{index}_{number}")
    given = [f"given_{index}_{number}" for number in range(len(parameters))]
    needed = [parameter.required for parameter in parameters]
    following = [f'", " {one}' if need else f'(", " {one})?' for one, need in zip(given, needed, strict=True)]
    if any(needed):
        ways = [" ".join([given[0], *following[1:]])]
    else:
        ways = [" ".join([one, *following[number + 1 :]]) for number, one in enumerate(given)]
        ways.append('""')
    return [f'inside_{index}: ({" | ".join(ways)}) ")"', *rules]


PYTHONIC = Form(
    "pythonic",
    block=PythonicCalls,
    rules=_rules,
    openings=(_START,),
    closings=(_END,),
    specials=(_START, _END),
    first="[",
    beginning=r"\[[A-Za-z0-9_.:\/-]+\(",
)
