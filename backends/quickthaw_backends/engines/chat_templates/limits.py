"""What a chat template may take of time and memory: it is a stranger's program, run for every conversation.

Jinja's sandbox keeps a template from reaching anything, not from going on for ever. Here each turn of a loop and each
call asks whether time is left, and what would make something huge is refused before it does.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from jinja2 import TemplateError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_TEMPLATE_CHARACTERS = 1 << 18
"""Ten times the longest that models have."""

MAX_SECONDS = 2.0
"""Of computing, for one conversation. Long ones take some milliseconds."""

MAX_CHARACTERS = 16 << 20
"""Of a text, and of what a list would be as text: more than any model can see."""

MAX_ITEMS = 1 << 20
"""Of a list."""

MAX_NUMBER = 1 << 20
"""That a call is given, such as a width."""

MAX_BITS = 1024
"""Of a number."""

_WIDE_PERCENT = re.compile(r"%[^%a-zA-Z]*(\*|\d{6})")
_WIDE_BRACES = re.compile(r"\{[^{}]*:[^{}]*(\d{6}|\{)")
"""Places in formats of both kinds that make a text wide."""

_MADE_TEXT = frozenset({"tojson", "string", "pprint", "format", "escape", "e", "forceescape", "urlencode", "xmlattr"})
"""Filters that make a text of all that is in a list."""

_SLOW = frozenset({"urlize", "striptags", "wordwrap"})
"""Filters for web pages that take ever longer for long texts; no chat template has a use for them."""

_CONTAINERS = (dict, list, tuple)

_LOOKED_AFTER = 32
"""Questions after which the clock is looked at: that costs more than the question."""


class _Spent(threading.local):
    """What the template that this thread renders has taken."""

    questions = 0
    until = math.inf


_spent = _Spent()


@contextmanager
def limited_time() -> Iterator[None]:
    """Have templates within the context, in this thread, end with TemplateError after MAX_SECONDS of computing."""
    _spent.until = time.thread_time() + MAX_SECONDS
    try:
        yield
    finally:
        _spent.until = math.inf


def check_time() -> None:
    """Raise TemplateError where no time is left."""
    _spent.questions += 1
    if not _spent.questions % _LOOKED_AFTER and time.thread_time() > _spent.until:
        raise TemplateError(f"it takes more than {MAX_SECONDS:g} seconds of computing")


def joined(texts: Iterable[str]) -> str:
    """Return texts as one. Raises TemplateError where that would be longer than MAX_CHARACTERS."""
    return "".join(_measured(texts))


def weight(value: object) -> int:
    """Return about how many characters a value has as text, without making it: a list may hold another many times."""
    return _weight(value, {})


class LimitedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox with limits. Templates in it have to be `watched.watched`, and rendered in `limited_time`."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    concat = staticmethod(joined)
    check_time = staticmethod(check_time)

    def __init__(self, **options: Any) -> None:
        super().__init__(finalize=_whole, **options)

    def limit_filters(self) -> None:
        """Put limits on all filters that there are by now."""
        self.filters = {name: _limited(name, made) for name, made in self.filters.items() if name not in _SLOW}

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute, unless the result would be huge."""
        check_time()
        _refuse_operation(operator, left, right)
        return _checked(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function or method, unless its result would be huge."""
        check_time()
        owner = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)
        if isinstance(owner, str):
            if __obj.__name__ in ("format", "format_map"):
                _refuse_wide(_WIDE_BRACES, owner, (args, kwargs))
            args = _bounded(__obj.__name__, owner, args)
        return _checked(super().call(__context, __obj, *args, **kwargs))

    def together(self, *values: Any) -> str:
        """Return values as one text."""
        return joined(str(_whole(value)) for value in values)


def _limited(name: str, made: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter with limits. Some get the context before the value."""
    before = 1 if hasattr(made, "jinja_pass_arg") else 0

    @wraps(made)
    def limited(*args: Any, **kwargs: Any) -> Any:
        check_time()
        context, (value, *more) = args[:before], args[before:]
        if name in _MADE_TEXT:
            _whole(value)
        if name == "format":
            _refuse_wide(_WIDE_PERCENT, str(value), (more, kwargs))
        if name == "join":
            value = _measured(value)
        bounded = _bounded(name, value, (*more, *kwargs.values()))[: len(more)]
        return _checked(made(*context, value, *bounded, **kwargs))

    return limited


def _bounded(name: str, value: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments of a filter or method of a value, unless these would make something huge."""
    for argument in arguments:
        if isinstance(argument, (int, float)) and abs(argument) > MAX_NUMBER:
            raise TemplateError(f"{name} is given a number beyond {MAX_NUMBER:,}")
    if name == "sum" and any(isinstance(argument, list | tuple) for argument in arguments):
        raise TemplateError("only numbers are added up")
    if not isinstance(value, str):
        return arguments
    if name == "replace" and len(arguments) > 1:
        old, new = map(str, arguments[:2])
        _refuse_size(len(value) + value.count(old) * len(new))
    elif name in ("expandtabs", "indent"):
        widths = [argument if isinstance(argument, int) else len(str(argument)) for argument in arguments[:1]] or [8]
        _refuse_size(len(value) + (value.count("\t" if name == "expandtabs" else "\n") + 1) * widths[0])
    elif name == "join" and len(arguments) == 1:
        return (_measured(arguments[0], len(value)),)
    return arguments


def _refuse_operation(operator: str, left: Any, right: Any) -> None:
    if operator == "%" and isinstance(left, str):
        _refuse_wide(_WIDE_PERCENT, left, right)
    elif operator == "*":
        for one, other in ((left, right), (right, left)):
            if isinstance(one, str | list | tuple) and isinstance(other, int):
                _refuse_size(len(one) * other)
    elif operator == "**" and isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > MAX_BITS:
        raise TemplateError("a number is too large")


def _refuse_size(size: int) -> None:
    if size > MAX_CHARACTERS:
        raise TemplateError(f"it makes a text of more than {MAX_CHARACTERS:,} characters, or a list as long")


def _refuse_wide(places: re.Pattern[str], form: str, values: object) -> None:
    """Each place of a format may show all values."""
    if places.search(form):
        raise TemplateError("it has a format that makes a text wide")
    _refuse_size(len(form) + (form.count("%") + form.count("{")) * weight(values))


def _checked(value: Any) -> Any:
    """Return what a filter, call or operator has made, unless it is huge; what gives items asks for time at each."""
    if isinstance(value, str):
        if len(value) > MAX_CHARACTERS:
            _refuse_size(len(value))
    elif isinstance(value, _CONTAINERS):
        if len(value) > MAX_ITEMS:
            raise TemplateError(f"it makes a list of more than {MAX_ITEMS:,} items")
    elif isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise TemplateError("a number is too large")
    elif isinstance(value, Iterator):
        return _counted(value)
    return value


def _counted(items: Iterator[Any]) -> Iterator[Any]:
    for item in items:
        check_time()
        yield item


def _measured(items: Iterable[Any], between: int = 0) -> Iterator[Any]:
    """Give items, and raise TemplateError once they would be too long as one text with so many characters between."""
    size = 0
    for item in items:
        size += between + (len(item) if isinstance(item, str) else weight(item))
        if size > MAX_CHARACTERS:
            _refuse_size(size)
        yield item


def _whole(value: Any) -> Any:
    """Return a value that is to become text, unless it would be a huge one."""
    if isinstance(value, _CONTAINERS):
        _refuse_size(weight(value))
    return value


def _weight(value: object, known: dict[int, int]) -> int:
    if isinstance(value, str):
        return len(value) + 1
    if not isinstance(value, _CONTAINERS):
        return 1
    if id(value) not in known:
        parts = (*value, *value.values()) if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_weight(part, known) for part in parts)
    return known[id(value)]
