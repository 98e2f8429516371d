"""The best of several answers to one prompt, as `best_of` means it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from quickthaw_platform.gateway.openai.answer import Answer


def best(answers: Sequence[Answer], made: int, n: int, *, keep_logprobs: bool) -> list[Answer]:
    """Return, of every `made` answers, which belong to one prompt, the `n` with the highest mean log-probability.

    `keep_logprobs`: whether the caller asked for log-probabilities; they are dropped otherwise.
    """
    chosen: list[Answer] = []
    for first in range(0, len(answers), made):
        chosen += sorted(answers[first : first + made], key=_likelihood, reverse=True)[:n]
    if not keep_logprobs:
        for answer in chosen:
            answer.logprobs = []
    return chosen


def _likelihood(answer: Answer) -> float:
    """Return the mean log-probability of an answer's tokens; 0, the highest, of one without any."""
    values = [entry.logprob for entry in answer.logprobs if entry.logprob is not None]
    return sum(values) / len(values) if values else 0.0
