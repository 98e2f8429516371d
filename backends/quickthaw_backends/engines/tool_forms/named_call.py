"""A call written as the tool's name, marks, and its arguments as a JSON object."""

from __future__ import annotations

import re

from quickthaw_backends.engines.tool_forms.form import Tools
from quickthaw_backends.engines.tool_forms.json_scanner import SPACE, JsonScanner, Step, escaped
from quickthaw_backends.engines.tool_forms.piece import Gathering

_LONGEST_HEAD = 512  # characters before the arguments


class NamedCall:
    """Reads all up to the arguments' brace as the head, which must match, and then the arguments as they come."""

    def __init__(self, tools: Tools, gathering: Gathering, head: re.Pattern[str]) -> None:
        """The first group that `head` finds is the name; space around the head counts for nothing."""
        self._tools, self._gathering, self._pattern = tools, gathering, head
        self._head = ""
        self._arguments: JsonScanner | None = None

    def push(self, character: str) -> Step:
        """Take the next character: DONE with the arguments' last brace."""
        if self._arguments is None and character != "{":
            self._head += character
            return Step.WRONG if len(self._head) > _LONGEST_HEAD else Step.MORE
        if self._arguments is None and not self._begin():
            return Step.WRONG
        return self._within(character)

    def _begin(self) -> bool:
        found = self._pattern.fullmatch(self._head.strip(SPACE))
        name = None if found is None else next(filter(None, found.groups()), None)
        if name is None or name not in self._tools:
            return False
        self._gathering.begin_call(name)
        self._arguments = JsonScanner()
        return True

    def _within(self, character: str) -> Step:
        assert self._arguments is not None
        in_string = self._arguments.in_string
        step = self._arguments.push(character)
        if step is not Step.WRONG:
            self._gathering.add_arguments(escaped(character) if in_string else character)
        return step
