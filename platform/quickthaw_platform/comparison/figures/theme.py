"""SVG files made fit to stand inside the HTML report: no foreign ids, and colours that follow the reader's theme."""

from __future__ import annotations

import re
from html import escape

from quickthaw_platform.comparison.figures.palette import COLOURS

_PROLOG = re.compile(r"\A.*?(?=<svg\b)", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_STYLE = re.compile(r"\s*<defs>\s*<style\b[^>]*>[^<]*</style>\s*</defs>")
_FONT = "'DejaVu Sans'"
_OPENING = re.compile(r"<svg\b[^>]*>")
_VIEW_BOX = re.compile(r'viewBox="([^"]+)"')
_ID = re.compile(r'\bid="([^"]+)"')
_REFERENCE = re.compile(r'(url\(#|href="#)([^")]+)')
_COLOUR = re.compile("|".join(colour.light for colour in COLOURS))
_NAMES = {colour.light: colour.name for colour in COLOURS}


def inline(svg: str, name: str, label: str, described_by: str) -> str:
    """Return an SVG element for an HTML page.

    Args:
        svg: A whole SVG file, as matplotlib writes it.
        name: What its ids begin with; another for each figure of the page, because matplotlib gives all the same ids.
        label: What a screen reader says it is.
        described_by: The id of the element that says in words what it shows.
    """
    svg = _STYLE.sub("", _METADATA.sub("", _PROLOG.sub("", svg)))  # the style would hold for the whole page
    opening = _OPENING.search(svg)
    view_box = _VIEW_BOX.search(opening.group()) if opening else None
    if opening is None or view_box is None:
        raise ValueError(f"the figure {name} is no SVG file with a viewBox")
    body = svg[opening.end() :].rstrip()
    body = _ID.sub(rf'id="{name}-\1"', body)
    body = _REFERENCE.sub(rf"\g<1>{name}-\2", body)
    body = _COLOUR.sub(lambda found: f"var(--{_NAMES[found.group()]}, {found.group()})", body)
    body = body.replace(_FONT, f"var(--figure-font, {_FONT})")
    return (
        f'<svg role="img" aria-label="{escape(label)}" aria-describedby="{described_by}" viewBox="{view_box.group(1)}" '
        f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{body}'
    )
