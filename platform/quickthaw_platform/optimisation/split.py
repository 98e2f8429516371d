"""Divides the examples of a task, the same way for the same seed. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.optimisation.task import Example, Part, Task

PARTS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Parts:
    """No example is in two of them. The test set is looked at once, when the search is over."""

    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]


def split(task: Task) -> Parts:
    """Divide the examples by the task's seed. InvalidRequest where they do not suffice for the parts asked for."""
    total = len(task.examples)
    train, dev, test = (_count(getattr(task.split, part), total) for part in PARTS)
    if train + dev + test > total:
        raise InvalidRequest(
            f"split asks for {train} + {dev} + {test} examples, and the task has {total}", param="split"
        )
    shuffled = random.Random(f"split {task.seed}").sample(task.examples, total)
    return Parts(
        tuple(shuffled[:train]), tuple(shuffled[train : train + dev]), tuple(shuffled[train + dev : train + dev + test])
    )


def _count(part: Part, total: int) -> int:
    return part if isinstance(part, int) else max(1, int(part * total))
