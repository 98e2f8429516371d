from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from quickthaw_platform.comparison.figures.gallery import draw_all, plates
from quickthaw_platform.comparison.html import render_html
from quickthaw_platform.comparison.report import Report
from tests.unit.comparison.example_report import example_report

EVIL = "<script>alert('1')</script>"


@pytest.fixture(scope="module")
def report() -> Report:
    return example_report()


@pytest.fixture(scope="module")
def figures(report: Report, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    drawn = draw_all(report, tmp_path_factory.mktemp("figures"))
    return {name: file.read_text() for name, file in drawn.items()}


@pytest.fixture(scope="module")
def page(report: Report, figures: dict[str, str]) -> str:
    return render_html(report, figures)


class Outline(HTMLParser):
    """What a page is made of: its tags with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_has_a_language_a_title_and_one_heading_above_all(page: str, report: Report) -> None:
    outline = Outline(page)
    assert outline.all("html") == [{"lang": "en"}]
    assert len(outline.all("h1")) == 1
    assert f"<title>{report.title}</title>" in page
    assert outline.all("a")[0] == {"class": "skip", "href": "#answer"}


def test_every_id_is_unique_and_every_reference_leads_to_one(page: str) -> None:
    outline = Outline(page)
    ids = Counter(name for _, attributes in outline.tags if (name := attributes.get("id")))
    assert [name for name, count in ids.items() if count > 1] == []
    for _, attributes in outline.tags:
        named = [attributes.get(name) for name in ("aria-labelledby", "aria-describedby")]
        links = [(attributes.get(name) or "") for name in ("href", "xlink:href")]
        wanted = [name for name in named if name] + [link[1:] for link in links if link.startswith("#")]
        assert set(wanted) <= set(ids)


def test_nothing_comes_from_elsewhere_and_nothing_runs(page: str) -> None:
    outline = Outline(page)
    for tag, attributes in outline.tags:
        assert tag not in {"script", "img", "iframe", "object", "embed"}
        for name in ("src", "href", "xlink:href", "action"):
            target = attributes.get(name) or "#"
            assert target.startswith(("#", "data:")), target
    assert "url(http" not in page
    assert "@import" not in page


def test_every_table_has_a_caption_and_every_head_says_what_it_heads(page: str) -> None:
    outline = Outline(page)
    assert len(outline.all("table")) == len(outline.all("caption")) == 7
    assert {head.get("scope") for head in outline.all("th")} == {"col", "row", "rowgroup"}
    scrolled = [tag for tag in outline.all("div") if tag.get("class") == "scroll"]
    assert all(tag["role"] == "region" and tag["tabindex"] == "0" for tag in scrolled)


def test_every_figure_stands_in_the_page_with_its_caption_and_its_numbers(page: str, report: Report) -> None:
    outline = Outline(page)
    assert len(outline.all("figure")) == len(outline.all("figcaption")) == len(plates(report)) == 10
    for number, plate in enumerate(plates(report), 1):
        assert f"Figure {number}. {plate.title}." in outline.text
        assert plate.caption in outline.text
        assert plate.numbers in outline.text


def test_the_page_says_everything_that_the_report_says(page: str, report: Report) -> None:
    text = Outline(page).text
    header = report.header
    said = [report.answer.sentence, report.answer.holds_for, report.answer.says_nothing_of, header.command]
    said += [header.commit, header.model, header.checkpoint, header.arrivals.digest, "CV 4, Fano factor 9.3"]
    said += [words for threat in report.threats for words in (threat.title, threat.text)] + report.missing
    said += [prices.date for prices in header.prices] + [row.steadiness.why for row in report.rows]
    said += [cost.title for cost in report.token_costs] + [run.label for run in report.ablations]
    said += ["too few n = 57, 368 needed", "died: made: connection refused", "Modal L4 †", "no difference"]
    assert [words for words in said if words not in text] == []


def test_the_headline_has_each_measure_for_each_backend(page: str, report: Report) -> None:
    table = page.split('id="table-headline"')[1].split("</table>")[0]
    heads = Outline(table).text
    for words in ("p50", "p90", "p95", "p99", "(TTFT)", "(TPOT)", "(ITL)", "whole answer", "Within the objective",
                  "Goodput", "Failures", "Device-seconds a request", "per 1,000 requests", "per million tokens",
                  "a month of this traffic"):  # fmt: skip
        assert words in heads
    assert all(row.backend in heads for row in report.rows)


def test_what_is_simulated_is_marked_in_the_tables(report: Report) -> None:
    row = report.rows[1].model_copy(update={"backend": "a month", "simulated": True})
    page = render_html(report.model_copy(update={"rows": [report.rows[0], row]}), {})
    heads = page.split('id="table-headline"')[1].split("</thead>")[0]
    assert "a month <small>simulated, serverful, 1 always on</small>" in heads
    assert 'class=" simulated"' in heads


def test_text_from_outside_cannot_become_markup(report: Report, tmp_path: Path) -> None:
    header = report.header.model_copy(update={"command": EVIL, "model": EVIL, "invalid": [EVIL], "valid": False})
    row = report.rows[0].model_copy(update={"backend": EVIL, "error": EVIL, "note": EVIL})
    threats = [threat.model_copy(update={"title": EVIL, "text": EVIL}) for threat in report.threats]
    points = [point.model_copy(update={"backend": EVIL}) for point in report.attainment]
    evil = report.model_copy(
        update={"title": EVIL, "header": header, "rows": [row], "threats": threats, "attainment": points}
    )
    empty: dict[str, object] = {name: [] for name, value in report if isinstance(value, list)}
    few = report.model_copy(update=empty | {"attainment": points})
    page = render_html(evil, {name: file.read_text() for name, file in draw_all(few, tmp_path).items()})
    assert Outline(page).all("script") == []
    assert EVIL in Outline(page).text


def test_the_same_report_gives_the_same_page(report: Report, figures: dict[str, str], page: str) -> None:
    assert render_html(report, figures) == page


def test_a_figure_whose_file_is_missing_is_named(report: Report, figures: dict[str, str]) -> None:
    text = Outline(render_html(report, {name: svg for name, svg in figures.items() if name != "pareto"})).text
    assert "Cost against time to the first token : not drawn, because its file was not given." in text
    assert "Figure 3. How many instances to keep always on" in text


def test_a_run_that_measured_nothing_says_so_part_by_part(report: Report) -> None:
    empty: dict[str, object] = {name: [] for name, value in report if isinstance(value, list)}
    header = report.header.model_copy(update={"prices": [], "blocks": []})
    text = Outline(render_html(report.model_copy(update=empty | {"header": header, "noise": None}), {})).text
    for words in ("nothing is priced", "No backend was metered", "no two backends to compare", "No price file was used",
                  "None was found", "no request got an answer", "no request waited for the start"):  # fmt: skip
        assert words in text


def test_a_run_that_does_not_count_says_so_before_the_answer(report: Report) -> None:
    header = report.header.model_copy(update={"valid": False, "invalid": ["serverless, repeat 2: dispatch lag"]})
    text = Outline(render_html(report.model_copy(update={"header": header}), {})).text
    assert text.index("This run does not count. serverless, repeat 2: dispatch lag") < text.index("The answer")
    assert text.index("Do not use these figures. Made data.") < text.index("The answer")


def test_threats_are_sorted_by_weight(page: str) -> None:
    text = Outline(page).text.split("Threats to validity")[-1]
    assert text.index("fatal Made data") < text.index("serious Few repeats") < text.index("limit One machine")
