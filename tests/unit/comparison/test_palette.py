"""The colours can be told from paper and from each other, also by the colour-blind."""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from quickthaw_platform.comparison.figures.palette import INK, MUTED, PAPER, SCALE, SERIES, Colour, marks, stylesheet

Theme = Literal["light", "dark"]
# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])
CLEARLY_APART = 20.0  # CIE 1976 colour difference; 2.3 is just noticeable

pytestmark = pytest.mark.parametrize("theme", ["light", "dark"])


def linear(colour: Colour, theme: Theme) -> NDArray[np.float64]:
    text = colour.light if theme == "light" else colour.dark
    parts = np.array([int(text[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(first: Colour, second: Colour, theme: Theme) -> float:
    """Return the contrast ratio of WCAG 2."""
    low, high = sorted(float(TO_XYZ[1] @ linear(colour, theme)) for colour in (first, second))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_text_stands_out_from_paper_and_from_the_scale(theme: Theme) -> None:
    for below in (PAPER, *SCALE):
        assert contrast(INK, below, theme) >= 4.5, below.name
    assert contrast(MUTED, PAPER, theme) >= 4.5


def test_every_line_stands_out_from_paper(theme: Theme) -> None:
    for colour in SERIES:
        assert contrast(colour, PAPER, theme) >= 3, colour.name


@pytest.mark.parametrize("vision", VISIONS)
def test_the_colours_of_the_known_backends_keep_apart_for_every_eye(theme: Theme, vision: str) -> None:
    seen = [lab(VISIONS[vision] @ linear(colour, theme)) for colour in SERIES[:4]]
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2)) >= CLEARLY_APART


def test_the_stylesheet_gives_every_colour_a_value(theme: Theme) -> None:
    css = stylesheet()
    for colour in (INK, PAPER, *SERIES, *SCALE):
        assert f"--{colour.name}: {colour.light if theme == 'light' else colour.dark};" in css


def test_known_backends_wear_the_same_mark_in_every_report(theme: Theme) -> None:
    del theme
    alone, among = marks(["serverful"]), marks(["llama", "serverful", "serverless", "other"])
    assert alone["serverful"] == among["serverful"]
    assert len({(mark.colour, mark.marker) for mark in among.values()}) == 4


def test_names_beyond_the_palette_still_get_a_mark(theme: Theme) -> None:
    del theme
    assert len(marks([f"backend-{number}" for number in range(9)])) == 9
