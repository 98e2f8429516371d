"""The report in a real browser: nothing but the file is loaded, nothing overflows, and everybody can read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from quickthaw_platform.comparison.figures.gallery import draw_all
from quickthaw_platform.comparison.html import render_html
from quickthaw_platform.comparison.report import Report
from tests.browser.chromium import ChromiumAbsent, chromium, running_chromium
from tests.unit.comparison.example_report import example_report

HEIGHT = 900
GRAVE = ("serious", "critical")
LOOKS: list[tuple[Literal["light", "dark"], int]] = [("light", 1280), ("light", 360), ("dark", 1280), ("dark", 360)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        path = chromium()
    except ChromiumAbsent as absent:
        pytest.skip(str(absent))
    with running_chromium(path) as running:
        yield running


def written(report: Report, folder: Path) -> Path:
    figures = {name: file.read_text() for name, file in draw_all(report, folder / "figures").items()}
    file = folder / "report.html"
    file.write_text(render_html(report, figures))
    return file


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(example_report(), tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(nothing(example_report()), tmp_path_factory.mktemp("bare"))


def nothing(report: Report) -> Report:
    """Return the report of a run that measured next to nothing."""
    header = report.header.model_copy(update={"valid": False, "invalid": ["serverless: no request was sent"]})
    empty: dict[str, object] = {name: [] for name, value in report if isinstance(value, list)}
    return report.model_copy(update=empty | {"noise": None, "header": header})


class Visit:
    """A page that was opened, with all that the browser said of it and asked for."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requested: list[str] = []
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requested.append(request.url))
        page.goto(file.as_uri(), wait_until="load")


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def look(request: pytest.FixtureRequest) -> tuple[Literal["light", "dark"], int]:
    chosen: tuple[Literal["light", "dark"], int] = request.param
    return chosen


@pytest.fixture(params=["full", "bare"])
def visit(
    request: pytest.FixtureRequest, browser: Browser, look: tuple[Literal["light", "dark"], int]
) -> Iterator[Visit]:
    scheme, width = look
    file: Path = request.getfixturevalue(request.param)
    with browser.new_context(color_scheme=scheme, viewport={"width": width, "height": HEIGHT}) as context:
        yield Visit(context.new_page(), file)


def test_the_browser_has_nothing_to_complain_of_and_loads_nothing_else(visit: Visit, full: Path, bare: Path) -> None:
    assert visit.complaints == []
    assert visit.requested in ([full.as_uri()], [bare.as_uri()])


def test_the_page_never_scrolls_sideways(visit: Visit, look: tuple[str, int], tmp_path: Path) -> None:
    visit.page.screenshot(path=tmp_path / f"report-{look[0]}-{look[1]}.png", full_page=True)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= look[1]


def test_axe_finds_no_serious_fault(visit: Visit) -> None:
    visit.page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    found = Axe().run(visit.page).response["violations"]
    assert [
        (fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found if fault["impact"] in GRAVE
    ] == []


def test_the_colours_follow_the_theme_in_figures_too(browser: Browser, full: Path) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        with browser.new_context(color_scheme=scheme) as context:
            page = Visit(context.new_page(), full).page
            colours[scheme] = page.evaluate(
                "[getComputedStyle(document.body).backgroundColor,"
                " getComputedStyle(document.querySelector('#break-even-patch_1 path')).fill,"
                " getComputedStyle(document.querySelector('figure svg text')).fill]"
            )
    for colour in colours.values():
        assert colour[0] == colour[1]  # the figure's paper is the page's
        assert colour[2] != colour[1]
    assert not set(colours["light"]) & set(colours["dark"])


def test_tables_and_figures_can_be_scrolled_from_the_keyboard(browser: Browser, full: Path) -> None:
    with browser.new_context(viewport={"width": 360, "height": HEIGHT}) as context:
        page = Visit(context.new_page(), full).page
        hidden = page.evaluate(
            "[...document.querySelectorAll('*')].filter(e => getComputedStyle(e).overflowX === 'auto'"
            " && e.scrollWidth > e.clientWidth && e.tabIndex < 0).map(e => e.outerHTML.slice(0, 80))"
        )
        assert hidden == []
        assert page.evaluate("document.querySelector('#headline .scroll').scrollWidth") > 360


def test_printed_it_is_black_on_white_whatever_the_theme(browser: Browser, full: Path) -> None:
    with browser.new_context(color_scheme="dark") as context:
        page = Visit(context.new_page(), full).page
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(254, 254, 253)"
