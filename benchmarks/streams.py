"""Waves of streams through the platform, in the shape in which the reference gives them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from benchmarks.bodies import greedy_body
from benchmarks.client import Target
from benchmarks.load import wave
from benchmarks.sse import Stream

Messages = Sequence[Mapping[str, str]]


class PlatformStreams:
    """Sends conversations to one function, greedily, and insists on whole answers of exactly the wanted length."""

    def __init__(self, target: Target, function: str) -> None:
        self._target = target
        self._function = function

    def streams(self, conversations: Sequence[Messages], max_tokens: int) -> list[Stream]:
        """Send all at once and wait for all; raises where an answer is broken or short."""
        bodies = [greedy_body(self._function, one, max_tokens, ignore_eos=True) for one in conversations]
        answers = asyncio.run(wave(self._target, bodies))
        for answer in answers:
            if not answer.complete or answer.tokens != max_tokens:
                raise RuntimeError(f"{answer.tokens} tokens instead of {max_tokens}: {answer.error or 'no error'}")
        return answers


def tokens_per_second(answers: Sequence[Stream]) -> float:
    """Return the tokens of all answers together over the time from the first request to the last end."""
    if any(answer.tokens is None for answer in answers):
        raise ValueError("an answer does not say how many tokens it has")
    tokens = sum(answer.tokens or 0 for answer in answers)
    return tokens / (max(answer.ended for answer in answers) - min(answer.sent for answer in answers))
