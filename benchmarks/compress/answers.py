"""How much less likely a known answer is after a shorter prompt, for each way to make it shorter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.compress.asking import Answer, Asker
from benchmarks.compress.choices import choices
from benchmarks.compress.lingua import Lingua
from benchmarks.compress.tasks import Task
from benchmarks.compress.ways import ours, randomly_deleted, truncated, without_stop_words
from benchmarks.report import Cell

ORIGINAL = "as it is"
FREQUENCY, INFORMATION = "words, by frequency", "words, by information"
EXAMPLES = "examples first, then words"
WAYS = (FREQUENCY, INFORMATION, EXAMPLES)
"""Ours. The others are given the tokens of EXAMPLES, which are the fewest."""

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Measured:
    """One prompt made shorter in one way."""

    kind: str
    way: str
    tokens: int
    answer: Answer


def measured(task: Task, ratio: float, asker: Asker, lingua: Lingua | None) -> list[Measured]:
    """Return one task in all ways."""
    texts = shortened(task.prompt, ratio, asker, lingua)
    found = [
        Measured(task.kind, way, tokens, asker.likelihood(text, task.answer)) for way, (text, tokens) in texts.items()
    ]
    chosen = choices(task, ratio, asker).items()
    return found + [Measured(task.kind, way, asker.count(text), answer) for way, (text, answer) in chosen]


def shortened(prompt: str, ratio: float, asker: Asker, lingua: Lingua | None) -> dict[str, tuple[str, int]]:
    """Return the prompt in each way, with its tokens. All but LLMLingua, which has its own, use the model's tokens."""
    count = asker.count
    found = {ORIGINAL: prompt}
    found[FREQUENCY] = ours(prompt, ratio, count, None, drop=False).text
    found[INFORMATION] = ours(prompt, ratio, count, asker.scores, drop=False).text
    found[EXAMPLES] = ours(prompt, ratio, count, asker.scores, drop=True).text
    tokens = count(found[EXAMPLES])
    found["random deletion"] = randomly_deleted(prompt, tokens, count)
    found["truncation"] = truncated(prompt, tokens, count)
    found["stop words"] = without_stop_words(prompt, tokens, count)
    if lingua is not None:
        found["LLMLingua"] = lingua.shorten(prompt, tokens / count(prompt))
    return {way: (text, count(text)) for way, text in found.items()}


def answer_rows(found: Sequence[Sequence[Measured]]) -> list[Mapping[str, Cell]]:
    """Return a row for each kind of task and way: sums over the tasks, beside the prompt as it is."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for one in (one for task in found for one in task):
        groups.setdefault((one.kind, one.way), []).append(one)
    return [_row(kind, way, group, groups[kind, ORIGINAL]) for (kind, way), group in groups.items()]


def _row(kind: str, way: str, group: Sequence[Measured], original: Sequence[Measured]) -> Mapping[str, Cell]:
    tokens, before = sum(one.tokens for one in group), sum(one.tokens for one in original)
    nats, least = sum(one.answer.nats for one in group), sum(one.answer.nats for one in original)
    length = sum(one.answer.tokens for one in group)
    return {
        "prompts": kind,
        "way": way,
        "tokens": round(tokens / len(group)),
        "times shorter": round(before / tokens, 2),
        "nats a token": round(nats / max(length, 1), 3),
        "nats, %": round(100 * (nats / least - 1), 1),
    }
