"""How much it matters which examples of a prompt stay: the best and the worst choice, known only afterwards."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

from benchmarks.compress.asking import Answer, Asker
from benchmarks.compress.tasks import Task
from quickthaw.compression.examples import ENOUGH, examples

BEST, WORST, NONE = "examples: the best choice, afterwards", "examples: the worst choice", "no examples"
CHOICES = (BEST, WORST, NONE)


def choices(task: Task, ratio: float, asker: Asker) -> dict[str, tuple[str, Answer]]:
    """Return texts with the answers after them; nothing for a prompt that is not few-shot.

    Chosen is among all sets of whole examples that use about as much of the target as is used otherwise.
    """
    found = examples(task.prompt)
    if found is None:
        return {}
    shots, (begin, _) = found
    before, question = task.prompt[: shots[0][0]], task.prompt[begin:]
    told = [task.prompt[start:end] for start, end in shots]
    target = math.ceil(asker.count(task.prompt) * ratio)
    texts = [f"{before}{''.join(some)}{question}" for some in _some(told)]
    fitting = [text for text in texts if ENOUGH * target <= asker.count(text) <= target]
    answers = sorted(((text, asker.likelihood(text, task.answer)) for text in fitting), key=lambda pair: pair[1].nats)
    alone = f"{before}{question}"
    ends = {BEST: answers[0], WORST: answers[-1]} if answers else {}
    return ends | {NONE: (alone, asker.likelihood(alone, task.answer))}


def _some(told: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield all sets of examples, in the order in which they stand; not all of them together, and not none."""
    for count in range(1, len(told)):
        yield from combinations(told, count)
