"""The colours of a report, by light and by dark, and which backend wears which mark.

The first four series colours keep apart under the three common kinds of colour blindness; each series has a marker and
a hatch of its own besides, so that nothing rests on colour alone. Figures are drawn in the light colours. Where one is
shown inside the HTML report, `theme.inline` turns each of them into a CSS variable that changes with the reader's
theme.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """One colour by its role: the CSS variable and what it is on white and on black paper."""

    name: str  # of the CSS variable, without the dashes before it
    light: str
    dark: str


INK = Colour("ink", "#1b1d21", "#e9eaec")
MUTED = Colour("muted", "#565c66", "#a9b0ba")
RULE = Colour("rule", "#d3d6db", "#3b4048")
PAPER = Colour("paper", "#fefefd", "#15171a")
SERIES = (
    Colour("series-1", "#125bb5", "#5fa2fa"),  # blue
    Colour("series-2", "#bf5a1c", "#f58a58"),  # vermilion
    Colour("series-3", "#1a9c72", "#86e9b4"),  # green
    Colour("series-4", "#591e66", "#eda2de"),  # purple
    Colour("series-5", "#b38b11", "#ecd04a"),  # ochre
    Colour("series-6", "#515b60", "#8c929a"),  # slate
)
# From "the first is far cheaper" over "no difference" to the opposite: blue, grey, vermilion, as the two series are.
SCALE = (
    Colour("scale-1", "#5b9bd0", "#1f5f94"),
    Colour("scale-2", "#97c1e3", "#25496b"),
    Colour("scale-3", "#cfe2f2", "#2a3a4b"),
    Colour("scale-4", "#eeeeec", "#33363b"),
    Colour("scale-5", "#f7dcc8", "#4b382b"),
    Colour("scale-6", "#efb78e", "#6e4524"),
    Colour("scale-7", "#e08d52", "#96561f"),
)
COLOURS = (INK, MUTED, RULE, PAPER, *SERIES, *SCALE)

_KNOWN = {"serverless": 0, "serverful": 1, "hybrid": 2, "endpoint": 3}
_MARKERS = ("o", "s", "^", "D", "v", "P")
_HATCHES = ("////", "\\\\\\\\", "||||", "xxxx", "----", "++++")  # no dots: they make an SVG ten times as large


@dataclass(frozen=True)
class Mark:
    """How one series is drawn."""

    colour: str
    marker: str
    hatch: str


def marks(names: Iterable[str]) -> Mapping[str, Mark]:
    """Give each name a mark of its own; the backends that we know always have the same one.

    Beyond six names the marks begin again.
    """
    given: dict[str, int] = {}
    for name in names:
        if name not in given:
            free = [place for place in range(len(SERIES)) if place not in given.values()]
            others = [place for place in free if place not in _KNOWN.values()]
            place = _KNOWN.get(name)
            given[name] = place if place in free else next(iter(others or free), len(given) % len(SERIES))
    return {name: Mark(SERIES[place].light, _MARKERS[place], _HATCHES[place]) for name, place in given.items()}


def stylesheet() -> str:
    """Return the CSS that gives the variables their values, by light and by dark; printing is always by light."""
    light = " ".join(f"--{colour.name}: {colour.light};" for colour in COLOURS)
    dark = " ".join(f"--{colour.name}: {colour.dark};" for colour in COLOURS)
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    )
