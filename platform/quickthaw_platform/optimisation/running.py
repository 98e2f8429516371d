"""Runs a search from its task to the files that it leaves."""

from __future__ import annotations

from pathlib import Path

from quickthaw_platform.optimisation import pareto, writing
from quickthaw_platform.optimisation.bounds import check
from quickthaw_platform.optimisation.calling import Caller
from quickthaw_platform.optimisation.candidate import Candidate
from quickthaw_platform.optimisation.contract import (
    Failure,
    Optimiser,
    Space,
)
from quickthaw_platform.optimisation.journal import Head, journal
from quickthaw_platform.optimisation.result import Result
from quickthaw_platform.optimisation.run import Progress, Run, Wish
from quickthaw_platform.optimisation.sentences import USUAL
from quickthaw_platform.optimisation.split import Parts, split
from quickthaw_platform.optimisation.task import Task
from quickthaw_platform.optimisation.template import as_text


def space_of(task: Task, parts: Parts, *, rewrites: bool) -> Space:
    """Return what a search of a task may use."""
    dev = tuple(Failure(as_text(example.input), as_text(example.expected), "") for example in parts.dev)
    tried = tuple(dict.fromkeys([*task.sentences, *USUAL]))
    return Space(Candidate(task.instruction), len(parts.train), dev, task.shots, tried, rewrites)


async def optimise(
    task: Task,
    caller: Caller,
    optimiser: type[Optimiser],
    head: Head,
    wish: Wish,
    folder: Path,
    progress: Progress | None = None,
) -> Result:
    """Search, test once, and write prompt, candidates and result into the folder.

    Raises InvalidRequest, before anything is called, for what cannot work; Conflict for a folder that another search
    has; FunctionFailed where every call of the start failed; and what the platform's errors say, what was answered
    before being kept for a run with `resume`.
    """
    parts = split(task)
    check(task, parts, wish.budget)
    space = space_of(task, parts, rewrites=head.rewriter is not None)
    with journal(folder, head, resume=wish.resume) as found:
        run = Run(task, parts, caller, found, wish, progress)
        searching = optimiser(space, wish.seed)
        try:
            ended = await run.search(searching)
            best = pareto.best(run.pool)
            tested = {one: await run.test(one) for one in dict.fromkeys([space.start, best])}
        finally:
            searching.close()
            writing.write_candidates(folder, run)
        result = writing.result_of(run, head, ended, tested, best)
        writing.write_result(folder, task, parts, best, result)
        return result
