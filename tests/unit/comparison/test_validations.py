"""What validation had measured of the checkpoint, in the report of a comparison."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quickthaw.results import CheckpointResult, Measured
from quickthaw_platform.comparison.compute import compute
from quickthaw_platform.comparison.html import render_html
from quickthaw_platform.comparison.markdown import render_markdown
from quickthaw_platform.comparison.recorded import Recorded
from quickthaw_platform.comparison.report import Report
from quickthaw_platform.comparison.tables.validations import validations
from quickthaw_platform.prices import catalogue
from tests.unit.comparison.example_run import example_recorded
from tests.unit.comparison.test_compute import FEW

HEADING = "What the model is worth"


def result(protocol: str, engine: str, whole: bool, **metrics: float) -> CheckpointResult:
    found = {name: Measured(value=value, low=value - 1, high=value + 1) for name, value in metrics.items()}
    return CheckpointResult(
        checkpoint="c1", protocol=protocol, text="wikitext-2", text_sha256="0" * 64, whole=whole, engine=engine,
        metrics=found,
    )  # fmt: skip


def with_results(*results: CheckpointResult) -> Recorded:
    plain = example_recorded()
    return replace(plain, recording=plain.recording.model_copy(update={"validations": list(results)}))


@pytest.fixture(scope="module")
def report() -> Report:
    results = (
        result("hf", "llamacpp", True, perplexity=20.123),
        result("hf", "transformers", False, perplexity=21.5),
        result("continuation", "llamacpp", True, bleu=2.5),
    )
    return compute(with_results(*results), catalogue.load(), prices=FEW)


def test_results_are_grouped_by_protocol_and_text(report: Report) -> None:
    made = validations(report)
    assert [group.title for group in made.groups] == ["hf on wikitext-2", "continuation on wikitext-2"]
    first, second = made.groups[0].lines
    assert [cell.text for cell in first.cells] == ["20.123", "llamacpp", "all"]
    assert first.cells[0].detail == "19.12 to 21.12"
    assert [cell.text for cell in second.cells] == ["21.5", "transformers", "a part"]


def test_the_page_and_the_text_have_them_where_there_are_any(report: Report) -> None:
    page, text = render_html(report, {}), render_markdown(report)
    for made in (page, text):
        assert HEADING in made
        assert "20.123" in made
        assert "continuation on wikitext-2" in made


def test_a_run_without_results_has_no_such_chapter() -> None:
    report = compute(with_results(), catalogue.load(), prices=FEW)
    assert validations(report).empty
    assert HEADING not in render_html(report, {})
    assert HEADING not in render_markdown(report)
