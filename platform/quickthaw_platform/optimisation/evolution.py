"""The platform's own optimiser: evolution of instructions and examples, by moves without a model and by a model.

Sources of its parts: mutation and crossover of prompts by a model (Guo et al. 2024, "EvoPrompt"), errors shown to the
model that rewrites (Wang et al. 2024, "PromptAgent"), parents from the front of those that are best on some example
(Agrawal et al. 2025, "GEPA"), and more examples only for those that did well on few (successive halving: Jamieson and
Talwalkar 2016).
"""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import ClassVar

from quickthaw_platform.optimisation import pareto
from quickthaw_platform.optimisation.candidate import Candidate
from quickthaw_platform.optimisation.contract import (
    Failure,
    How,
    Outcome,
    Question,
    Reply,
    Rewriting,
    Search,
    Searching,
    Space,
    Trial,
    outcomes,
)
from quickthaw_platform.optimisation.credit import Credit
from quickthaw_platform.optimisation.moves import Child, Draw, crossed, moved

GENERATION = 8
"""Children that are made at a time."""
REWRITTEN = 3
"""Of these, as many are written by a model where there is one."""
CROSSED = 0.15
"""The chance that a child has two parents."""
SHRINKING = 3
"""From one rung to the next, so much fewer children see so many more examples."""
TRIES = 100
"""After so many draws in a row without a new candidate, the space counts as exhausted."""
SHOWN_FAILURES = 3
LONGEST_CHARACTERS = 2000
"""Of an instruction that a model wrote; a longer one is left."""

Children = Generator[list[Question], list[Reply], list[Child]]


class Evolution(Searching):
    """Implements `contract.Optimiser`."""

    name: ClassVar[str] = "evolution"

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._rng = random.Random(f"evolution {seed}")
        self._credit = Credit()
        self._draw = Draw(space, self._rng, self._credit)
        self._pool: dict[Candidate, Outcome] = {}
        self._seen = {space.start}
        super().__init__(self._evolve())

    def _evolve(self) -> Search:
        everything = tuple(range(len(self._space.dev)))
        (outcome,) = outcomes((yield [Trial(self._space.start, everything)]))
        self._pool[self._space.start] = outcome
        while True:
            children = yield from self._children()
            if not children:
                return
            yield from self._climb(children)

    def _children(self) -> Children:
        written = (yield from self._written()) if self._space.rewrites else []
        children = [child for child in written if self._is_new(child)]
        tries = 0
        while len(children) < GENERATION and tries < TRIES:
            child = self._bred()
            fresh = child is not None and self._is_new(child)
            tries = 0 if fresh else tries + 1
            if fresh and child is not None:
                children.append(child)
        return children

    def _is_new(self, child: Child) -> bool:
        new = child.candidate not in self._seen
        self._seen.add(child.candidate)
        return new

    def _bred(self) -> Child | None:
        one = pareto.parent(self._pool, self._rng)
        if len(self._pool) > 1 and self._rng.random() < CROSSED:
            other = self._rng.choice([other for other in self._pool if other != one])
            return crossed(one, other, self._draw)
        return moved(one, self._draw)

    def _written(self) -> Children:
        """Have a model write instructions from those of parents."""
        parents = [pareto.parent(self._pool, self._rng) for _ in range(REWRITTEN)]
        asked = [self._rewriting(one) for one in parents]
        replies = yield list(asked)
        texts = [reply.strip() if isinstance(reply, str) else "" for reply in replies]
        return [
            Child(Candidate(text, one.shown), one, (("rewrite", rewriting.how),))
            for one, rewriting, text in zip(parents, asked, texts, strict=True)
            if 0 < len(text) <= LONGEST_CHARACTERS
        ]

    def _rewriting(self, one: Candidate) -> Rewriting:
        others = [other for other in self._pool if other.instruction != one.instruction]
        ways: list[How] = ["improve", "rephrase", "shorten", *(["combine"] if others else [])]  # type: ignore[list-item]
        how = self._credit.draw(self._rng, ways, "rewrite")
        partner = (self._rng.choice(others).instruction,) if how == "combine" else ()
        failures = self._failures(one) if how == "improve" else ()
        return Rewriting(how, (one.instruction, *partner), failures, self._rng.randrange(2**31))

    def _failures(self, one: Candidate) -> tuple[Failure, ...]:
        outcome = self._pool[one]
        failed = [place for place, score in outcome.scores.items() if score < 1]
        chosen = self._rng.sample(failed, min(SHOWN_FAILURES, len(failed)))
        dev = self._space.dev
        return tuple(Failure(dev[at].input, dev[at].expected, outcome.answers.get(at, "")) for at in chosen)

    def _climb(self, children: list[Child]) -> Search:
        """Score children on more and more examples; those that beat their parents everywhere so far go on."""
        order = self._rng.sample(range(len(self._space.dev)), len(self._space.dev))
        tried = list(children)
        for size in rungs(len(order)):
            places = tuple(order[:size])
            found = outcomes((yield [Trial(child.candidate, places) for child in children]))
            scored = dict(zip([child.candidate for child in children], found, strict=True))
            children = [child for child in children if self._beats(child, scored[child.candidate], places)]
            children.sort(key=lambda child: (-scored[child.candidate].mean, child.candidate.length))
            if size < len(order):
                children = children[: -(-len(children) // 2)]
            else:
                self._pool.update(scored)
        for child in tried:
            self._credit.note(child.done, child in children)

    def _beats(self, child: Child, outcome: Outcome, places: tuple[int, ...]) -> bool:
        """Whether it is better than its parent on these examples, or as good and shorter."""
        before = self._pool[child.parent].mean_of(places)
        shorter = child.candidate.length < child.parent.length
        return outcome.mean > before or (outcome.mean == before and (shorter or len(places) < len(self._space.dev)))


def rungs(examples: int) -> list[int]:
    """Return on how many examples children are scored, rung by rung: the last is all of them.

    >>> rungs(30)
    [3, 10, 30]
    """
    sizes = [examples]
    while sizes[0] > 2 * SHRINKING and len(sizes) < 3:
        sizes.insert(0, -(-sizes[0] // SHRINKING))
    if sizes[0] < 2 and len(sizes) > 1:
        sizes.pop(0)
    return sizes
