"""One figure of the report: its words, which need no plotting library, and how it is drawn, which does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Plate:
    """A figure that can be drawn.

    `numbers` is the text alternative: what the figure shows, in numbers, for who cannot see it. `draw` imports
    matplotlib and is to be called within `style.styled`.
    """

    name: str  # of the files, and of the anchor in the page
    title: str
    caption: str  # how to read it
    numbers: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Absent:
    """A figure that cannot be drawn from this report, and why."""

    name: str
    title: str
    why: str


def numbered(name: str, place: int) -> str:
    """Return the name of one of several figures of a kind: NAME, NAME-2, NAME-3, …"""
    return f"{name}-{place + 1}" if place else name
