"""What a form is: a way in which a family of models writes calls of tools."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from quickthaw_backends.engines.tool_forms.json_scanner import Step
from quickthaw_backends.engines.tool_forms.piece import Gathering


class Block(Protocol):
    """Reads what follows an opening. What it understood goes to its `Gathering`."""

    def push(self, character: str) -> Step:
        """Take the next character: DONE with the block's last, WRONG where it breaks off.

        Then what it took since it last gave something to the gathering is text.
        """


Rules = Callable[[Sequence[Mapping[str, Any]], Mapping[str, int], bool], str]
"""Takes functions as OpenAI describes them, the ids of markers that are special tokens, and whether there may be
several calls. Returns Lark rules in which `calls` is all that follows the first opening, or the answer's beginning."""


@dataclass(frozen=True, slots=True)
class Form:
    """One way of writing calls."""

    name: str
    block: Callable[[Collection[str], Gathering], Block]  # a reader that knows the names of the tools
    rules: Rules
    openings: tuple[str, ...]  # markers that a block follows; the first is the one that grammars ask for
    closings: tuple[str, ...] = ()  # what may follow a call and says nothing
    specials: tuple[str, ...] = ()  # the markers that some tokenizers have as special tokens
    first: str = ""  # characters with which a block may begin an answer without an opening
    beginning: str = ""  # as a regular expression, how such a block begins for certain
    again: str = ""  # characters with which another block may follow a call without an opening
    short_ids: bool = False  # whether ids of calls are nine letters and digits
