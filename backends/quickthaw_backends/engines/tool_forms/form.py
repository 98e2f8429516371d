"""What a form is: a way in which a family of models writes calls of tools."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from quickthaw_backends.engines.tool_forms.json_scanner import Step
from quickthaw_backends.engines.tool_forms.lark import literal
from quickthaw_backends.engines.tool_forms.piece import Gathering


class Block(Protocol):
    """Reads what follows an opening. What it understood goes to its `Gathering`."""

    def push(self, character: str) -> Step:
        """Take the next character: DONE with the block's last, WRONG where it breaks off.

        Then what it took since it last gave something to the gathering is text.
        """


MOST_CALLS = 32
"""Calls that one answer may make where a grammar holds it."""

Tools = Mapping[str, Mapping[str, Any]]
"""The functions that there are, by their names, as OpenAI describes them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which calls a grammar shall allow."""

    functions: Sequence[Mapping[str, Any]]
    specials: Mapping[str, int]  # the markers that are special tokens, and their ids
    parallel: bool  # whether there may be several calls
    beside_json: bool = False  # whether the answer may be other JSON, so that braces and names are words of their own

    def marker(self, text: str) -> str:
        """Return a marker: the special tokens that the tokenizer has for parts of it, and the rest as text."""
        borders = "|".join(map(re.escape, self.specials))
        parts = re.split(f"({borders})", text) if borders else [text]
        return " ".join(
            f"<[{self.specials[part]}]>" if part in self.specials else literal(part) for part in parts if part
        )

    def repeated(self, words: str) -> str:
        """Return what further calls look like, where there may be any; a small model would not end by itself."""
        return f"({words}){{0,{MOST_CALLS - 1}}}" if self.parallel else ""


@dataclass(frozen=True, slots=True)
class Form:
    """One way of writing calls."""

    name: str
    block: Callable[[Tools, Gathering], Block]  # makes the reader of what follows an opening
    rules: Callable[[Asked], str]  # Lark rules: `calls` is all that follows the first opening, or begins the answer
    openings: tuple[str, ...] = ()  # markers that a block follows
    asked: int = 1  # how many of these, from the first, grammars let a model write
    closings: tuple[str, ...] = ()  # what may follow a call and says nothing
    specials: tuple[str, ...] = ()  # the markers that some tokenizers have as special tokens
    silent: tuple[str, ...] = ()  # what may stand within or before text and says nothing
    leads: tuple[str, ...] = ()  # of these, what text has to begin with one of
    first: str = ""  # characters with which a block may begin an answer without an opening
    beginning: str = ""  # as a regular expression, how such a block begins for certain
    again: str = ""  # characters with which another block may follow a call without an opening
    short_ids: bool = False  # whether ids of calls are nine letters and digits
