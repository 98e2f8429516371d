"""What the text of an answer turns out to be: plain text, what the model thinks, calls of tools."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from quickthaw.generation import ToolCallDelta


@dataclass(frozen=True, slots=True)
class Piece:
    """What more text of an answer turned out to be."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()


class Reader(Protocol):
    """Takes an answer apart as its text comes. What it says, joined, does not depend on how the text is cut."""

    def push(self, text: str) -> Piece:
        """Take more text; return what is certain. What may be the beginning of a marker is held back."""

    def flush(self) -> Piece:
        """Return what is held back: no more text follows."""


class Gathering:
    """Collects what the parsers find, and makes pieces of it."""

    def __init__(self, call_id: Callable[[int], str], *, parallel: bool = True) -> None:
        """`call_id` gives the id of the call with an index; `parallel`: whether there may be more than one."""
        self._call_id = call_id
        self._parallel = parallel
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[ToolCallDelta] = []
        self.calls = 0  # how many have begun
        self.given = 0  # how often something of a call was given

    @property
    def full(self) -> bool:
        """Whether no further call may begin."""
        return self.calls > 0 and not self._parallel

    def say(self, text: str) -> None:
        """Take text of the answer."""
        self._text.append(text)

    def think(self, text: str) -> None:
        """Take what the model thinks."""
        self._reasoning.append(text)

    def begin_call(self, name: str) -> None:
        """Begin the next call."""
        self._calls.append(ToolCallDelta(self.calls, self._call_id(self.calls), name))
        self.calls += 1
        self.given += 1

    def add_arguments(self, text: str) -> None:
        """Take more JSON text of the latest call's arguments."""
        self.given += 1
        index = self.calls - 1
        if self._calls and self._calls[-1].index == index:
            self._calls[-1] = replace(self._calls[-1], arguments=self._calls[-1].arguments + text)
        else:
            self._calls.append(ToolCallDelta(index, arguments=text))

    def take(self) -> Piece:
        """Return what came since the last time."""
        piece = Piece("".join(self._text), "".join(self._reasoning), tuple(self._calls))
        self._text, self._reasoning, self._calls = [], [], []
        return piece
