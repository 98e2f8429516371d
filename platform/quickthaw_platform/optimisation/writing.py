"""What a search leaves in its folder: the best prompt, every candidate with its cost, and the result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from quickthaw_platform.optimisation.candidate import Candidate
from quickthaw_platform.optimisation.journal import Entry, Head
from quickthaw_platform.optimisation.prompting import prompt_file
from quickthaw_platform.optimisation.result import Ended, Judged, Result, Scored
from quickthaw_platform.optimisation.run import Run
from quickthaw_platform.optimisation.scores import interval
from quickthaw_platform.optimisation.split import Parts
from quickthaw_platform.optimisation.task import Task

PROMPT_FILE = "prompt.txt"
CANDIDATES_FILE = "candidates.jsonl"
RESULT_FILE = "result.json"


def write_candidates(folder: Path, run: Run) -> None:
    """Write a line for each candidate, in the order in which they were tried."""
    entries: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in run.journal.entries.values():
        if entry.candidate is not None:
            entries[entry.candidate].append(entry)
    lines = [_scored(run, one, entries[key]).model_dump_json() for key, one in run.candidates.items()]
    _replace(folder / CANDIDATES_FILE, "".join(f"{line}\n" for line in lines))


def result_of(
    run: Run, head: Head, ended: Ended, tested: Mapping[Candidate, Sequence[float]], best: Candidate
) -> Result:
    """Put the result together."""
    start = Candidate(run.task.instruction)
    gains = [after - before for before, after in zip(tested[start], tested[best], strict=True)]
    return Result(
        task=run.task.name, function=head.function, optimiser=head.optimiser, seed=head.seed, ended=ended,
        start=_judged(run, start, tested[start], head.seed), best=_judged(run, best, tested[best], head.seed),
        gain=interval(gains, head.seed), candidates=len(run.candidates), calls=run.ledger.calls,
        tokens=run.ledger.tokens, seconds=run.ledger.seconds,
        failed=sum(entry.called.error is not None for entry in run.journal.entries.values()),
    )  # fmt: skip


def write_result(folder: Path, task: Task, parts: Parts, best: Candidate, result: Result) -> None:
    """Write the best prompt, a template of `str.format`, and the result."""
    _replace(folder / PROMPT_FILE, prompt_file(task, parts.train, best))
    _replace(folder / RESULT_FILE, result.model_dump_json(indent=2) + "\n")


def _scored(run: Run, one: Candidate, entries: Sequence[Entry]) -> Scored:
    dev = [entry for entry in entries if entry.part == "dev"]
    return Scored(
        key=one.key, instruction=one.instruction, shown=one.shown,
        dev=run.pool[one].mean if one in run.pool else None, scored=len(dev),
        failed=sum(entry.called.error is not None for entry in dev), calls=len(entries),
        tokens=sum(entry.called.tokens for entry in entries), seconds=sum(entry.called.seconds for entry in entries),
    )  # fmt: skip


def _judged(run: Run, one: Candidate, scores: Sequence[float], seed: int) -> Judged:
    return Judged(instruction=one.instruction, shown=one.shown, dev=run.pool[one].mean, test=interval(scores, seed))


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)
