"""The engine called in process, without the platform: the floor of a cold start and the measure of added latency."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from benchmarks.assets import CHILDREN, MODEL
from benchmarks.processes import Conversation
from benchmarks.sse import Arrival, Stream
from quickthaw_platform.worker.zygote_client import WAITING

Messages = Sequence[Mapping[str, str]]


class Reference:
    """A process of its own in which all is loaded, from the start to the end of the `with` block."""

    def __init__(self, checkpoints: Path, log: Path, options: Mapping[str, Any], engine: str = "transformers") -> None:
        command = [sys.executable, str(CHILDREN / "engine.py"), str(checkpoints), MODEL, engine, json.dumps(options)]
        self._process = Conversation(command, log, WAITING)

    def __enter__(self) -> Self:
        self._process.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__()

    def tokens(self, conversations: Sequence[Messages]) -> list[list[int]]:
        """Return the conversations as the engine's tokenizer renders them."""
        rendered: list[list[int]] = self._process.ask({"render": list(conversations)})
        return rendered

    def prefill_seconds(self, messages: Messages) -> float:
        """Return the time from submitting the tokens of one prompt to its first token."""
        answer = self._ask([messages], max_tokens=1, ignore_eos=False)[0]
        return float(answer["arrivals"][0][0] - answer["submitted"])

    def streams(self, conversations: Sequence[Messages], max_tokens: int) -> list[Stream]:
        """Generate exactly `max_tokens` for each conversation, all at once, timed from before rendering."""
        return [_stream(answer) for answer in self._ask(conversations, max_tokens, ignore_eos=True)]

    def _ask(self, conversations: Sequence[Messages], max_tokens: int, ignore_eos: bool) -> list[dict[str, Any]]:
        question = {"conversations": list(conversations), "max_tokens": max_tokens, "ignore_eos": ignore_eos}
        answers: list[dict[str, Any]] = self._process.ask(question)
        for answer in answers:
            if answer["error"]:
                raise RuntimeError(f"the engine failed: {answer['error']}")
        return answers


def _stream(answer: Mapping[str, Any]) -> Stream:
    arrivals = tuple(Arrival(at, text) for at, text in answer["arrivals"])
    return Stream(answer["asked"], answer["ended"], arrivals, done=True, tokens=answer["tokens"])
