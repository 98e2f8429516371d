"""What a model thinks before it answers, and how it marks that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from quickthaw_backends.engines.tool_forms.json_scanner import SPACE
from quickthaw_backends.engines.tool_forms.piece import Gathering


@dataclass(frozen=True, slots=True)
class Thoughts:
    """The marks around what a model thinks."""

    name: str
    opening: str
    closing: str
    sign: str  # what stands in the templates of its models
    field: str = "reasoning_content"  # of an earlier message, where templates look for what was thought

    def open_at_end(self, prompt: str) -> bool:
        """Return whether a prompt ends where the thoughts have begun."""
        return prompt.rstrip().endswith(self.opening)

    def open_in(self, answer: str) -> bool:
        """Return whether the beginning of an answer ends within the thoughts."""
        _, opening, thought = answer.rpartition(self.opening)
        return bool(opening) and self.closing not in thought

    def over_at_end(self, text: str) -> bool:
        """Return whether a prompt ends right after the thoughts."""
        return text.rstrip().endswith(self.closing)


_ANALYSIS = "<|channel|>analysis"
_FORMS = {
    form.name: form
    for form in (
        Thoughts("think", "<think>", "</think>", "</think>"),  # Qwen3, DeepSeek R1 and most others
        Thoughts("mistral", "[THINK]", "[/THINK]", "[/THINK]"),  # Magistral
        Thoughts("harmony", f"{_ANALYSIS}<|message|>", "<|end|>", _ANALYSIS, "thinking"),  # gpt-oss
    )
}


def thoughts_named(name: str) -> Thoughts:
    """Return the form with a name."""
    return _FORMS[name]


def thoughts_of(template: str) -> Thoughts | None:
    """Return the form of the thoughts that a chat template speaks of."""
    return next((form for form in _FORMS.values() if form.sign in template), None)


class Rest(Protocol):
    """Takes what follows the thoughts, character by character."""

    def push(self, character: str) -> object:
        """Take the next character."""

    def flush(self) -> object:
        """There are no more."""


class ThoughtsReader:
    """Parts what is thought from what follows; space around both is dropped. An answer may begin without thoughts."""

    def __init__(self, form: Thoughts, rest: Rest, gathering: Gathering, *, within: bool) -> None:
        """`within`: the prompt ended within the thoughts."""
        self._form, self._rest, self._gathering = form, rest, gathering
        self._state = "thoughts" if within else "before"  # before, thoughts, gap (after them), rest
        self._held = ""
        self._thought = False  # whether any thought was given

    def push(self, character: str) -> None:
        """Take the next character."""
        if self._state == "rest":
            self._rest.push(character)
        elif self._state == "gap":
            self._gap(character)
        else:
            self._held += character
            (self._before if self._state == "before" else self._within)()

    def flush(self) -> None:
        """Give what is held back: no more text follows."""
        if self._state == "thoughts":
            self._think(len(self._held.rstrip(SPACE)))
        elif self._state == "before":
            self._pass_on()
        self._rest.flush()

    def _before(self) -> None:
        begun = self._held.lstrip(SPACE)
        if begun == self._form.opening:
            self._state, self._held = "thoughts", ""
        elif not self._form.opening.startswith(begun):
            self._pass_on()

    def _pass_on(self) -> None:
        self._state, held, self._held = "rest", self._held, ""
        for character in held:
            self._rest.push(character)

    def _within(self) -> None:
        closing = self._form.closing
        while rest := self._held.lstrip(SPACE):
            if rest == closing:
                self._state, self._held = "gap", ""
                return
            if closing.startswith(rest):
                return
            self._think(len(self._held) - len(rest) + 1)

    def _think(self, count: int) -> None:
        thought, self._held = self._held[:count], self._held[count:]
        self._gathering.think(thought if self._thought else thought.lstrip(SPACE))
        self._thought = True

    def _gap(self, character: str) -> None:
        if character not in SPACE:
            self._state = "rest"
            self._rest.push(character)
