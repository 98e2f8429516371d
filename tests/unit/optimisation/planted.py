"""A task whose best prompt is known: planted sentences and examples raise the share of examples that are solved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from quickthaw_platform.errors import FunctionFailed, HandlerFailed
from quickthaw_platform.optimisation import running
from quickthaw_platform.optimisation.budget import Budget
from quickthaw_platform.optimisation.calling import Called
from quickthaw_platform.optimisation.contract import Optimiser, Rewriting
from quickthaw_platform.optimisation.evolution import Evolution
from quickthaw_platform.optimisation.journal import Head
from quickthaw_platform.optimisation.result import Result
from quickthaw_platform.optimisation.run import Wish
from quickthaw_platform.optimisation.task import Task

HELP = ("Alpha helps.", "Beta helps.", "Gamma helps.")
HARM = ("Delta harms.", "Epsilon harms.", "Zeta harms.")
EXAMPLES = 60
TOKENS = 10
"""Of each call."""


def task(**changes: Any) -> Task:
    """Inputs are numbers as text; the answer to n is "answer n"."""
    fields: dict[str, Any] = {
        "name": "planted", "instruction": "Answer. Noise harms.", "template": "{instruction}\n{examples}Q {input}",
        "example_template": "E {input} = {expected}\n",
        "examples": [{"input": str(n), "expected": f"answer {n}"} for n in range(EXAMPLES)],
        "metric": {"kind": "exact"}, "sentences": [*HELP, *HARM], "shots": 3, "arguments": {"max_tokens": 4},
    }  # fmt: skip
    return Task.model_validate({**fields, **changes})


def quality(prompt: str) -> float:
    """Return what share of inputs a prompt solves: 1 needs the helping sentences, no harm, and an even example."""
    shown = [line.split()[1] for line in prompt.splitlines() if line.startswith("E ")]
    helped = 0.1 + 0.2 * sum(sentence in prompt for sentence in HELP)
    harmed = 0.15 * sum(sentence in prompt for sentence in HARM) + 0.1 * ("Noise harms." in prompt)
    return helped - harmed + 0.1 * min(3, sum(int(number) % 2 == 0 for number in shown))


@dataclass
class Planted:
    """Implements Caller: solves an input where the prompt is good enough for it."""

    rewritten: Callable[[Rewriting], str] = lambda rewriting: rewriting.instructions[0]
    fails: Callable[[int], bool] = lambda number: False
    stops_at: int | None = None  # the call that a broken platform ends
    prompts: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def answer(self, key: str, prompt: str, expected: JsonValue) -> Called:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        number = self._count(key)
        self.prompts.append(prompt)
        if self.fails(number):
            return Called(error=HandlerFailed("it raised").message, tokens=TOKENS, seconds=1.0)
        asked = int(prompt.rsplit("Q ", 1)[1])
        solved = (asked * 0.618033988) % 1 < quality(prompt)
        return Called(text=f"answer {asked}" if solved else "no idea", tokens=TOKENS, seconds=1.0)

    async def rewrite(self, key: str, rewriting: Rewriting) -> Called:
        self._count(key)
        return Called(text=self.rewritten(rewriting), tokens=TOKENS, seconds=1.0)

    def _count(self, key: str) -> int:
        if self.stops_at is not None and len(self.keys) >= self.stops_at:
            raise FunctionFailed("the platform is gone")
        self.keys.append(key)
        return len(self.keys)


def head(one: Task, optimiser: type[Optimiser] = Evolution, *, seed: int = 0, rewriter: str | None = None) -> Head:
    return Head(
        task=one.digest, function="planted", versions=("v1",), rewriter=rewriter, rewriter_versions=(),
        optimiser=optimiser.name, seed=seed,
    )  # fmt: skip


def search(
    folder: Path,
    caller: Planted,
    *,
    one: Task | None = None,
    optimiser: type[Optimiser] = Evolution,
    calls: int = 400,
    tokens: int | None = None,
    seed: int = 0,
    rewriter: str | None = None,
    resume: bool = False,
    parallel: int = 8,
) -> Result:
    """Run a search to its end."""
    one = one or task()
    wish = Wish(Budget(calls, tokens), seed, parallel, resume)
    return asyncio.run(
        running.optimise(one, caller, optimiser, head(one, optimiser, seed=seed, rewriter=rewriter), wish, folder)
    )
