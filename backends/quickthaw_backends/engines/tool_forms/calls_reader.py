"""Calls of tools within the text of an answer."""

from __future__ import annotations

from collections import deque

from quickthaw_backends.engines.tool_forms.form import Block, Form, Tools
from quickthaw_backends.engines.tool_forms.json_scanner import SPACE, Step
from quickthaw_backends.engines.tool_forms.piece import Gathering


class CallsReader:
    """Tells text from calls, character by character, so that it does not matter how the text is cut.

    What looks like a call and is none, or is one of an unknown tool, is text. Where a call breaks off after its
    arguments began, they stay as far as they went, and the rest is text. Space before a call is dropped, and space
    after it where no text came before. Where the answer must be calls, the beginning of one that is cut off is dropped.
    """

    def __init__(self, form: Form, tools: Tools, gathering: Gathering, *, must_call: bool = False) -> None:
        self._form, self._tools, self._gathering, self._must_call = form, tools, gathering, must_call
        self._marks = frozenset(mark[0] for mark in (*form.openings, *form.silent, *form.closings)) | frozenset(SPACE)
        self._held = ""  # taken, but neither text nor call so far
        self._block: Block | None = None
        self._given = 0  # how much the gathering had when the block began
        self._blank = True  # whether nothing but space came so far
        self._after_call = False  # whether nothing but space and closings came since a call
        self._spoken = False  # whether there was text

    def push(self, character: str) -> None:
        """Take the next character."""
        waiting = deque(character)
        while waiting:
            following = waiting.popleft()
            if self._block is None:
                self._outside(following)
            else:
                waiting.extendleft(reversed(self._inside(self._block, following)))

    def flush(self) -> None:
        """Give what is held back: no more text follows."""
        rest = self._held.strip(SPACE)
        closing = self._after_call and any(marker.startswith(rest) for marker in self._form.closings)
        if not self._must_call and ((rest and not closing) or not self._gathering.calls):
            self._gathering.say(self._held)
        self._held = ""

    def _outside(self, character: str) -> None:
        if self._spoken and not (self._held or self._after_call or character in self._marks):
            self._gathering.say(character)  # as nearly all are
            return
        self._held += character
        while rest := self._held.lstrip(SPACE):
            if self._may_grow(rest) or self._opens(rest):
                return
            if rest in self._form.silent or (self._after_call and rest in self._form.closings):
                self._held = ""
                return
            self._say(len(self._held) - len(rest) + 1)

    def _may_grow(self, rest: str) -> bool:
        """Return whether this is the beginning of a marker and not all of it."""
        markers = (*self._form.openings, *self._form.silent, *(self._form.closings if self._after_call else ()))
        return any(marker.startswith(rest) and marker != rest for marker in markers)

    def _opens(self, rest: str) -> bool:
        """Begin a block if `rest` is an opening, or a character that begins a block without one."""
        bare = rest in (self._form.first if self._blank else self._form.again if self._after_call else "")
        if self._gathering.full or not (bare or rest in self._form.openings):
            return False
        self._block, self._given = self._form.block(self._tools, self._gathering), self._gathering.given
        self._after_call = False
        if bare:
            self._block.push(rest)
        return True

    def _inside(self, block: Block, character: str) -> str:
        """Give the block its next character; return what has to be read again because it was none of the block's."""
        given = self._gathering.given
        self._held += character
        step = block.push(character)
        if step is Step.DONE or (step is Step.MORE and self._gathering.given > given):
            self._held = ""
        if step is Step.MORE:
            return ""
        self._block, held, self._held = None, self._held, ""
        self._blank, self._after_call = False, step is Step.DONE
        if self._gathering.given > self._given:
            return held
        return self._opening_said(held)

    def _opening_said(self, held: str) -> str:
        """Say the first character that is no space, so that this is not taken for a call again; return the rest."""
        first = len(held) - len(held.lstrip(SPACE)) + 1
        self._gathering.say(held[:first])
        return held[first:]

    def _say(self, count: int) -> None:
        said, self._held = self._held[:count], self._held[count:]
        self._gathering.say(said if self._spoken or not self._after_call else said.lstrip(SPACE))
        self._blank, self._after_call, self._spoken = False, False, True
