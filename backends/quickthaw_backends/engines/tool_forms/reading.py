"""The reader of an answer: what the model thinks, then text and calls."""

from __future__ import annotations

from collections.abc import Callable

from quickthaw_backends.engines.tool_forms.calls_reader import CallsReader
from quickthaw_backends.engines.tool_forms.piece import Gathering, Piece, Reader
from quickthaw_backends.engines.tool_forms.table import form_named
from quickthaw_backends.engines.tool_forms.thoughts import ThoughtsReader, thoughts_named
from quickthaw_platform.contracts import Reading


class _PlainReader:
    """All of the answer is text."""

    def __init__(self, gathering: Gathering) -> None:
        self.push, self.flush = gathering.say, lambda: None


class AnswerReader:
    """Implements `Reader` for one reading."""

    def __init__(self, reading: Reading, call_id: Callable[[int], str]) -> None:
        self._gathering = Gathering(call_id, parallel=reading.parallel)
        answer: CallsReader | _PlainReader = _PlainReader(self._gathering)
        if reading.calls is not None:
            tools = {tool["function"]["name"]: tool["function"] for tool in reading.tools}
            answer = CallsReader(form_named(reading.calls), tools, self._gathering, must_call=reading.must_call)
        self._reader: CallsReader | _PlainReader | ThoughtsReader = answer
        if reading.thoughts is not None:
            form = thoughts_named(reading.thoughts)
            self._reader = ThoughtsReader(form, answer, self._gathering, within=reading.thinking)

    def push(self, text: str) -> Piece:
        """Take more text; return what is certain."""
        for character in text:
            self._reader.push(character)
        return self._gathering.take()

    def flush(self) -> Piece:
        """Return what is held back."""
        self._reader.flush()
        return self._gathering.take()


def reader(reading: Reading, call_id: Callable[[int], str]) -> Reader:
    """Return the reader of one answer; `call_id` gives the id of the call with an index."""
    return AnswerReader(reading, call_id)
