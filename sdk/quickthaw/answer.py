"""What a model says to one question: its deltas one by one, and the whole of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from pydantic_core import from_json

from quickthaw.errors import UnusableAnswer
from quickthaw.generation import Delta
from quickthaw.message import Message, ToolCall
from quickthaw.shape import read_json

T = TypeVar("T")


class Answer(Iterator[Delta], Generic[T]):
    """An iterator of deltas, for one thread. Its methods read what is left of them, and tell what all of them say.

    So `yield from answer` streams it, and `answer.text()` behind that has the whole. `choice` counts answers from 0
    where several were asked for (`n`).
    """

    def __init__(self, deltas: Iterable[Delta], read: Callable[[str], T] = read_json) -> None:
        """`read` makes of a text what `parsed` returns."""
        self._deltas = iter(deltas)
        self._read = read
        self._messages: defaultdict[int, Message] = defaultdict(Message)

    def __next__(self) -> Delta:
        """Wait for the next delta."""
        delta = next(self._deltas)
        self._note(delta)
        return delta

    def message(self, choice: int = 0) -> Message:
        """Return the whole of an answer; `message().to_json()` is what a conversation goes on with."""
        for _ in self:
            pass
        return self._messages[choice]

    def text(self, choice: int = 0) -> str:
        """Return its text."""
        return self.message(choice).text

    def reasoning(self, choice: int = 0) -> str:
        """Return what the model thought before it answered; "" where it does not say."""
        return self.message(choice).reasoning

    def tool_calls(self, choice: int = 0) -> list[ToolCall]:
        """Return the calls of tools that it makes, in order."""
        return self.message(choice).tool_calls

    def parsed(self, choice: int = 0) -> T:
        """Return the object that it is: an instance of the type that was given as `response_format`, else JSON.

        Raises UnusableAnswer where the answer was cut short, calls tools instead, or is not what was asked for.
        """
        message = self.message(choice)
        if message.finish_reason == "length":
            raise UnusableAnswer(f"the answer was cut short; allow more max_tokens. It began: {message.text[:200]!r}")
        if message.tool_calls:
            raise UnusableAnswer("the answer calls tools; run them and ask again, or ask with tool_choice='none'")
        return self._read(message.text)

    def partial(self, choice: int = 0) -> Iterator[Any]:
        """Yield the JSON value as far as it is written, whenever it has grown; the last one is whole.

        Objects are dictionaries that hold what is there yet. A text or a number at the end may be the beginning of a
        longer one. Nothing is validated, for half an object cannot be: `parsed` does that at the end.
        """
        latest: Any = None
        for delta in self:
            if delta.choice == choice and delta.text:
                value = _as_far_as_written(self._messages[choice].text)
                if value is not None and value != latest:
                    latest = value
                    yield value

    def _note(self, delta: Delta) -> None:
        self._messages[delta.choice].add(delta)


def _as_far_as_written(text: str) -> Any:
    try:
        return from_json(text, allow_partial="trailing-strings")
    except ValueError:  # nothing is written yet, or it is no JSON
        return None
