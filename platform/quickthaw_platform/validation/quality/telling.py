"""A result of continuation quality as people read it."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from quickthaw.cli import output
from quickthaw.results import Measured
from quickthaw_platform.validation.quality.result import QualityResult


def tell_quality(result: QualityResult) -> None:
    """Print the figures beside those of the floors, and what must be quoted with them."""
    names = list(result.floors)
    table = Table()
    for column in ("0 to 100", result.subject.model, "95% interval", *names):
        table.add_column(column, justify="left" if column == "0 to 100" else "right")
    for name, figure in result.figures.items():
        below = (_value(result.floors[floor], name) for floor in names)
        table.add_row(name, f"{figure.value:.2f}", _interval(figure), *below)
    console = Console()
    console.print(title(result), markup=False, highlight=False, soft_wrap=True)
    output.show(table, console)
    for line in lines(result):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def title(result: QualityResult) -> str:
    """Return what must stand beside the figures wherever they are quoted."""
    part = "all" if result.whole else f"{result.passages:,} of {result.of_passages:,}"
    return (
        f"continuations of {part} paragraphs of {result.text.name}: {result.prompt_words} words shown, "
        f"{result.reference_words} compared, greedy{result.subject.precision}"
    )


def lines(result: QualityResult) -> list[str]:
    """Return what else is to be said."""
    signatures = "; ".join(f"{name} {signature}" for name, signature in result.signatures.items())
    return [
        "floors: copy repeats the end of the prompt, random takes another paragraph's, unigrams draws words",
        f"sacrebleu: {signatures}; ROUGE: rouge-score, stemmed, mean F1; seed {result.seed}",
        f"{result.empty} empty, {result.short} shorter than the reference; {result.seconds:.1f} s",
    ]


def _value(figures: Mapping[str, Measured], name: str) -> str:
    return f"{figures[name].value:.2f}" if name in figures else "-"


def _interval(figure: Measured) -> str:
    return "" if figure.low is None else f"{figure.low:.2f} to {figure.high:.2f}"
