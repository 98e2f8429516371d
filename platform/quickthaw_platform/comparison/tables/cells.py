"""Tables of the report as text in cells, ready for a page: headings, figures and their intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from quickthaw_platform.comparison.estimates import Estimate
from quickthaw_platform.comparison.numbers import NONE, hundredths, plain

Show = Callable[[float], str]


@dataclass(frozen=True)
class Cell:
    """One cell: the figure or text, and in small print its interval or what else belongs to it."""

    text: str
    detail: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a table, with what it is about."""

    head: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Group:
    """Lines under one heading; without a title there is no heading."""

    lines: tuple[Line, ...]
    title: str = ""


@dataclass(frozen=True)
class Column:
    """The head of a column. Text stands on the left, figures on the right."""

    head: str
    detail: str = ""
    text: bool = False
    simulated: bool = False


@dataclass(frozen=True)
class Table:
    """A table; `corner` says what the first column holds."""

    name: str
    caption: str
    corner: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is no line in it."""
        return not any(group.lines for group in self.groups)


def cell(estimate: Estimate | None, factor: float = 1.0, show: Show = plain, ends: Show = plain) -> Cell:
    """Return a figure, times `factor`, with its interval; "too few" with the numbers; or a dash for what is unknown.

    `show` writes the figure, `ends` the ends of its interval.
    """
    if estimate is None or (estimate.value is None and estimate.needed is None):
        return Cell(NONE)
    if estimate.value is None:
        return Cell("too few", f"n = {estimate.count:,}, {estimate.needed:,} needed")
    value = show(estimate.value * factor)
    if estimate.low is None or estimate.high is None:
        return Cell(value)
    return Cell(value, f"[{ends(estimate.low * factor)},\u00a0{ends(estimate.high * factor)}]")


def scale(estimates: Iterable[Estimate | None]) -> tuple[float, str]:
    """Return the factor and the unit for seconds, so that all of them can be compared: s or ms."""
    values = [abs(e.value) for e in estimates if e is not None and e.value is not None]
    return (1000.0, "ms") if values and max(values) < 1 else (1.0, "s")


def parts(head: str, estimates: Sequence[Estimate | None]) -> Line:
    """Return a line of parts of one, as percentages."""
    return Line(f"{head}, %", tuple(part(estimate) for estimate in estimates))


def part(estimate: Estimate | None) -> Cell:
    """Return a part of one as a percentage without the sign."""
    return cell(estimate, 100.0, hundredths, hundredths)


def figures(head: str, estimates: Sequence[Estimate | None]) -> Line:
    """Return a line of figures as they are."""
    return Line(head, tuple(cell(estimate) for estimate in estimates))


def texts(head: str, words: Iterable[str]) -> Line:
    """Return a line of text."""
    return Line(head, tuple(Cell(word or NONE) for word in words))
