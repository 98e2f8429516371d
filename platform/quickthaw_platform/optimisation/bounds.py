"""The most tokens that calls can take, and whether a budget has room for a search's least. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from quickthaw_platform.optimisation import budget as budgets
from quickthaw_platform.optimisation import metrics
from quickthaw_platform.optimisation.budget import Budget
from quickthaw_platform.optimisation.candidate import Candidate
from quickthaw_platform.optimisation.prompting import prompt_of
from quickthaw_platform.optimisation.split import Parts
from quickthaw_platform.optimisation.task import Example, Task
from quickthaw_platform.optimisation.template import as_text

USUAL_MAX_TOKENS = 256
"""What a task without `max_tokens` among its arguments is taken to ask for, where tokens have a budget."""


def bound_of(task: Task, prompt: str, expected: str) -> int:
    """Return the most tokens that one pass over a prompt, and its answer, can have."""
    if task.metric.kind == "loglikelihood":
        return budgets.most_tokens(prompt + expected, 0)
    given = task.arguments.get("max_tokens", USUAL_MAX_TOKENS)
    return budgets.most_tokens(prompt, given if isinstance(given, int) else USUAL_MAX_TOKENS)


def check(task: Task, parts: Parts, budget: Budget) -> None:
    """Raise InvalidRequest, before anything is spent, for a budget that is too small and values that do not fit."""
    metrics.check(task.metric, [example.expected for example in task.examples])
    start = Candidate(task.instruction)
    bounds = [bound_of(task, text, as_text(one.expected)) for one, text in _prompts(task, parts, start)]
    tested = max(bounds[len(parts.dev) :])
    budgets.check(budget, len(parts.dev), len(parts.test), sum(bounds[: len(parts.dev)]) + 2 * tested * len(parts.test))


def _prompts(task: Task, parts: Parts, one: Candidate) -> Iterator[tuple[Example, str]]:
    for example in (*parts.dev, *parts.test):
        yield example, prompt_of(task, parts.train, one, example)
