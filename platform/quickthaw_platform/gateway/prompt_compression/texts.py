"""Which texts of a call are shortened, and the input with the shorter ones in their place. Pure.

Shortened are what users say and what tools return: the long context of a conversation. System messages and what the
assistant said stay word for word, and so does the last question. Each text is shortened by itself, so that a
conversation that goes on has its earlier turns as they were sent before, which engines need not compute again.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quickthaw_platform.gateway.turns import in_turns

LEAST_CHARACTERS = 240
"""Of a shorter text there is nothing to be gained."""

_ROLES = ("user", "tool")
_TO_LAST_BLANK_LINE = re.compile(r"(?s:.*)\n[^\S\n]*\n")

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A text that may be shortened: where it stands in the input, and a part of it that stays word for word.

    `whole`: so many characters at its beginning are not part of it, and stay before it.
    """

    path: Path
    text: str
    question: str | None = None
    whole: int = 0

    @property
    def body(self) -> str:
        """What may be shortened."""
        return self.text[self.whole :]


def texts_of(input: Mapping[str, Any], prefix: str | None = None) -> list[Text]:
    """Return the texts of a call that are long enough to be shortened.

    `prefix`: what the function's prompts begin with. What is no text, or not formed as messages are, is left alone.
    """
    found = [*_of_prompt(input.get("prompt"), prefix or ""), *_of_messages(input.get("messages"))]
    return [text for text in found if len(text.body) >= LEAST_CHARACTERS]


def replaced(input: Mapping[str, Any], shorter: Mapping[Path, str]) -> dict[str, Any]:
    """Return a copy of the input with other texts at some places; nothing of the original is changed."""
    return dict(_replaced(input, shorter))


def _of_prompt(prompt: object, prefix: str) -> Iterator[Text]:
    if isinstance(prompt, str):
        whole = len(prefix) if prompt.startswith(prefix) else 0
        yield Text(("prompt",), prompt, question_of(prompt[whole:]), whole)


def _of_messages(messages: object) -> Iterator[Text]:
    if not isinstance(messages, list):
        return
    roles = [message.get("role") if isinstance(message, dict) else None for message in messages]
    last = max((place for place, role in enumerate(roles) if role == "user"), default=-1)
    for place, (message, role) in enumerate(in_turns(zip(messages, roles, strict=True))):
        if role in _ROLES:
            found = list(_of_content(message.get("content"), ("messages", place, "content")))
            yield from _with_question(found) if place == last else found


def _of_content(content: object, path: Path) -> Iterator[Text]:
    if isinstance(content, str):
        yield Text(path, content)
    elif isinstance(content, list):
        for place, part in enumerate(content):
            if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
                yield Text((*path, place, "text"), part["text"])


def _with_question(texts: Sequence[Text]) -> Iterator[Text]:
    """Yield the texts of the last user message, the last of which holds its question, or is it."""
    yield from texts[:-1]
    for last in texts[-1:]:
        yield Text(last.path, last.text, last.text if len(texts) > 1 else question_of(last.text))


def question_of(text: str) -> str | None:
    """Return the last paragraph where it is at most half of the text; None: the question is to be looked for in it."""
    before = _TO_LAST_BLANK_LINE.match(text.rstrip())
    last = text[before.end() :] if before else ""
    return last if last.strip() and 2 * len(last) <= len(text) else None


def _replaced(value: Any, shorter: Mapping[Path, str]) -> Any:
    if not shorter:
        return value
    if () in shorter:
        return shorter[()]
    within: dict[str | int, dict[Path, str]] = defaultdict(dict)
    for path, text in shorter.items():
        within[path[0]][path[1:]] = text
    items = enumerate(value) if isinstance(value, list) else value.items()
    changed = {step: _replaced(part, within[step]) if step in within else part for step, part in in_turns(items)}
    return list(changed.values()) if isinstance(value, list) else changed
