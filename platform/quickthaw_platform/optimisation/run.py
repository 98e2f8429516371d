"""One search under way: brings an optimiser's questions to the platform, and the answers to the journal and back."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Literal

from quickthaw_platform.errors import FunctionFailed
from quickthaw_platform.optimisation import budget as budgets
from quickthaw_platform.optimisation import metrics, pareto
from quickthaw_platform.optimisation.bounds import bound_of
from quickthaw_platform.optimisation.budget import Budget, Ledger
from quickthaw_platform.optimisation.calling import REWRITE_TOKENS, Called, Caller
from quickthaw_platform.optimisation.candidate import Candidate
from quickthaw_platform.optimisation.contract import (
    Optimiser,
    Outcome,
    Question,
    Reply,
    Rewriting,
    Trial,
)
from quickthaw_platform.optimisation.journal import Entry, Journal
from quickthaw_platform.optimisation.prompting import prompt_of
from quickthaw_platform.optimisation.result import Ended
from quickthaw_platform.optimisation.split import Parts
from quickthaw_platform.optimisation.task import Task
from quickthaw_platform.optimisation.template import as_text

IDLE_ROUNDS = 1000
"""So many rounds of questions that were all asked before end a search: the optimiser goes in circles."""

Progress = Callable[[int, float | None], None]
"""(calls made, best mean on the development set so far)."""

Part = Literal["dev", "test"]


@dataclass(frozen=True, slots=True)
class Wish:
    """How a search is to be run."""

    budget: Budget
    seed: int
    parallel: int = 8
    resume: bool = False


@dataclass(frozen=True, slots=True)
class Needed:
    """A call whose answer is needed. `make` makes it, under the key that it is given."""

    entry: Entry  # but for the answer
    make: Callable[[str], Coroutine[object, object, Called]]


class Run:
    """One search. What is in the journal is never called for again."""

    def __init__(
        self, task: Task, parts: Parts, caller: Caller, found: Journal, wish: Wish, progress: Progress | None = None
    ) -> None:
        self.task, self.parts, self.journal = task, parts, found
        self.ledger = Ledger()
        self.pool: dict[Candidate, Outcome] = {}  # scored on the whole development set
        self.candidates: dict[str, Candidate] = {}
        self._caller, self._wish, self._progress = caller, wish, progress
        self._score = metrics.scorer(task.metric)
        self._scores: dict[str, float] = {}
        self._looked_at: set[str] = set()
        self._longest = 0  # the most tokens that a candidate's prompt and answer may have
        for entry in found.entries.values():
            self.ledger.add(entry.called.tokens, entry.called.seconds, entry.bound)

    async def search(self, optimiser: Optimiser) -> Ended:
        """Ask and tell until the budget but for the test is used up, or the optimiser has nothing more to ask."""
        idle = 0
        while (questions := optimiser.ask()) and idle < IDLE_ROUNDS:
            known = len(self._looked_at)
            whole = await self._made([one for question in questions for one in self._needed(question)], self._reserve())
            self._note(questions)
            if not whole:
                return "budget"
            optimiser.tell([self._reply(question) for question in questions])
            idle = idle + 1 if len(self._looked_at) == known else 0
        return "exhausted"

    async def test(self, candidate: Candidate) -> list[float]:
        """Return a candidate's scores on the test set."""
        needed = self._on(candidate, "test", range(len(self.parts.test)))
        if not await self._made(needed, Budget(0, 0)):
            raise AssertionError("the test's calls were reserved")
        return [self._score_of(one.entry.key, "test", place) for place, one in enumerate(needed)]

    def key(self, candidate: Candidate, part: Part, place: int) -> str:
        """Return the key of a candidate's answer to an example."""
        return f"{candidate.key}-{part}-{place}"

    def _reserve(self) -> Budget:
        """Return what the test of start and best may take."""
        calls = 2 * len(self.parts.test)
        return Budget(calls, round(calls * self._longest * self.ledger.beyond))

    def _needed(self, question: Question) -> list[Needed]:
        if isinstance(question, Trial):
            return self._on(question.candidate, "dev", question.places)
        key, bound = _rewriting_key(question), budgets.most_tokens(repr(question), REWRITE_TOKENS)
        self._looked_at.add(key)
        entry = Entry(key=key, bound=bound, called=Called())
        return [Needed(entry, lambda sent: self._caller.rewrite(sent, question))]

    def _on(self, candidate: Candidate, part: Part, places: Sequence[int]) -> list[Needed]:
        self.candidates.setdefault(candidate.key, candidate)
        return [self._answer(candidate, part, place) for place in places]

    def _answer(self, candidate: Candidate, part: Part, place: int) -> Needed:
        example = (self.parts.dev if part == "dev" else self.parts.test)[place]
        prompt = prompt_of(self.task, self.parts.train, candidate, example)
        bound = bound_of(self.task, prompt, as_text(example.expected))
        self._longest = max(self._longest, bound)
        entry = Entry(
            key=self.key(candidate, part, place), candidate=candidate.key, part=part, place=place, bound=bound,
            called=Called(),
        )  # fmt: skip
        self._looked_at.add(entry.key)
        return Needed(entry, lambda sent: self._caller.answer(sent, prompt, example.expected))

    async def _made(self, needed: Sequence[Needed], reserved: Budget) -> bool:
        """Make the calls whose answers are not there yet, as far as the budget reaches; return whether all are made."""
        by_key = {one.entry.key: one for one in needed}
        while missing := [one for key, one in by_key.items() if key not in self.journal.entries]:
            bounds = [one.entry.bound for one in missing]
            count = budgets.admitted(bounds, self._wish.budget, self.ledger, reserved)
            if not count:
                return False
            await self._in_parallel(missing[:count])
        return True

    async def _in_parallel(self, needed: Sequence[Needed]) -> None:
        """Make calls; the first error that is no candidate's fault ends the others."""
        slots = asyncio.Semaphore(self._wish.parallel)

        async def one(call: Needed) -> None:
            async with slots:
                called = await call.make(f"{self.journal.nonce}-{call.entry.key}")
            self.journal.add(call.entry.model_copy(update={"called": called}))
            self.ledger.add(called.tokens, called.seconds, call.entry.bound)
            self._tell()

        tasks = [asyncio.create_task(one(call)) for call in needed]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _note(self, questions: Sequence[Question]) -> None:
        """Keep the outcomes on the whole development set."""
        for question in questions:
            if isinstance(question, Trial) and set(question.places) >= set(range(len(self.parts.dev))):
                keys = [self.key(question.candidate, "dev", place) for place in question.places]
                if all(key in self.journal.entries for key in keys):
                    self.pool.setdefault(question.candidate, self._outcome(question))
        if len(self.pool) == 1:
            self._check_alive()
        self._tell()

    def _check_alive(self) -> None:
        """Raise FunctionFailed where no call of the start succeeded: then there is nothing to improve."""
        (start,) = self.pool
        failed = [self.journal.entries[self.key(start, "dev", at)].called.error for at in self.pool[start].scores]
        if failed and None not in failed:
            raise FunctionFailed(f"every call with the start's prompt failed; the first said: {failed[0]}")

    def _reply(self, question: Question) -> Reply:
        if isinstance(question, Trial):
            return self._outcome(question)
        return self.journal.entries[_rewriting_key(question)].called.text

    def _outcome(self, trial: Trial) -> Outcome:
        keys = {place: self.key(trial.candidate, "dev", place) for place in trial.places}
        scores = {place: self._score_of(key, "dev", place) for place, key in keys.items()}
        return Outcome(scores, {place: self.journal.entries[key].called.text for place, key in keys.items()})

    def _score_of(self, key: str, part: Part, place: int) -> float:
        if key not in self._scores:
            example = (self.parts.dev if part == "dev" else self.parts.test)[place]
            called = self.journal.entries[key].called
            if called.error is not None:
                self._scores[key] = 0.0
            elif called.score is not None:
                self._scores[key] = called.score
            else:
                self._scores[key] = self._score(called.text, example.expected, example.input)
        return self._scores[key]

    def _tell(self) -> None:
        if self._progress is not None:
            best = self.pool[pareto.best(self.pool)].mean if self.pool else None
            self._progress(self.ledger.calls, best)


def _rewriting_key(rewriting: Rewriting) -> str:
    return f"rewriting-{hashlib.sha256(repr(rewriting).encode()).hexdigest()[:24]}"
