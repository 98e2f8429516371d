"""The table of a run: for the terminal, and for docs/clients.md between two marks. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.table import Table

from tests.suites.outcomes import Case, counts
from tests.suites.reasons import Failure

HEADS = ("suite", "version", "passed", "failed", "skipped", "why they failed", "ours")
BEGIN, END = "<!-- begin: last run -->", "<!-- end: last run -->"
UNEXPLAINED = "no known reason"


@dataclass(frozen=True, slots=True)
class Result:
    """A suite's cases and its failures with their reasons; or, in `broken`, why it could not run at all."""

    suite: str
    version: str
    cases: Sequence[Case] = ()
    failures: Sequence[Failure] = ()
    broken: str = field(default="")

    @property
    def explained(self) -> bool:
        """Whether it ran and each failure has a known reason."""
        return not self.broken and all(failure.reason is not None for failure in self.failures)


def rows(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """Return a row of texts for each suite, under HEADS."""
    return [_row(result) for result in results]


def rich_table(results: Sequence[Result]) -> Table:
    """Return the table for a terminal."""
    table = Table(title="suites", show_lines=True)
    for head in HEADS:
        table.add_column(head, justify="right" if head in ("passed", "failed", "skipped") else "left")
    for row in rows(results):
        table.add_row(*row)
    return table


def markdown(results: Sequence[Result], run: str, document: str) -> str:
    """Return the table as it is to stand between the marks; suites that did not run now keep their rows there.

    `run` says when and of what commit these results are.
    """
    made = {cells[0]: _line([*map(_cell, cells), run]) for cells in rows(results)}
    return "\n".join(
        [_line([*HEADS, "run"]), _line(["---"] * (len(HEADS) + 1)), *{**_former(document), **made}.values()]
    )


def replaced(document: str, text: str) -> str:
    """Return the document with another text between the marks; ValueError where it has none."""
    if BEGIN not in document or END not in document:
        raise ValueError(f"the document lacks the lines {BEGIN} and {END}")
    before, rest = document.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}"


def _row(result: Result) -> tuple[str, ...]:
    if result.broken:
        return (result.suite, result.version, "", "", "", f"did not run: {result.broken.splitlines()[0]}", "")
    numbers = counts(result.cases)
    reasons = Counter(failure.reason.reason if failure.reason else UNEXPLAINED for failure in result.failures)
    ours = sum(failure.reason is None or failure.reason.ours for failure in result.failures)
    why = "\n".join(f"{number} × {reason}" for reason, number in reasons.most_common())
    return (result.suite, result.version, *(str(numbers[v]) for v in ("passed", "failed", "skipped")), why, str(ours))


def _former(document: str) -> dict[str, str]:
    """Return the rows between a document's marks by their suite."""
    lines = document.partition(BEGIN)[2].partition(END)[0].strip().splitlines()[2:]
    return {line.split("|")[1].strip(): line for line in lines}


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
