"""What compressed prompts have saved: from usage to the report's table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quickthaw.resources import UsageRow
from quickthaw_platform.comparison.compute import compute
from quickthaw_platform.comparison.html import render_html
from quickthaw_platform.comparison.markdown import render_markdown
from quickthaw_platform.comparison.metered import Slot, difference
from quickthaw_platform.comparison.recorded import Recorded
from quickthaw_platform.comparison.report import Report
from quickthaw_platform.comparison.tables.savings import savings
from quickthaw_platform.prices import catalogue
from quickthaw_platform.prices.tokens import buy_tokens
from tests.unit.comparison.example_run import example_recorded
from tests.unit.comparison.test_compute import FEW


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    """A run in which each prompt of the first backend lost as many tokens as were sent."""
    plain = example_recorded()
    first = plain.recording.backends[0].name
    usage = [
        line.model_copy(update={"tokens_saved": line.tokens_in}) if line.backend == first else line
        for line in plain.usage
    ]
    return replace(plain, usage=usage)


@pytest.fixture(scope="module")
def report(recorded: Recorded) -> Report:
    return compute(recorded, catalogue.load(), prices=FEW)


def test_saved_tokens_of_the_meter_stand_in_the_usage_table() -> None:
    rows = [[UsageRow(phase="", requests=1, tokens_in=5, tokens_saved=saved)] for saved in (3, 10)]
    (line,) = difference(Slot("b", 0), *rows)
    assert (line.tokens_saved, line.fetched_bytes) == (7, 0)


def test_what_was_left_out_costs_what_an_api_asks_for_it(report: Report, recorded: Recorded) -> None:
    first = recorded.recording.backends[0].name
    assert report.savings
    assert {saving.backend for saving in report.savings} == {first}
    usage = report.row(first).usage
    assert usage is not None
    assert usage.tokens_saved == usage.tokens_in > 0
    prices = {offer.id: offer.usd_in for offer in buy_tokens("llama-3.1-8b", 1, 1)}
    for saving in report.savings:
        assert saving.run_usd == pytest.approx(usage.tokens_saved * prices[saving.offer] / 1e6)
        per_thousand = 1000 * saving.run_usd / report.row(first).requests
        assert saving.per_thousand_requests.value == pytest.approx(per_thousand)


def test_the_report_shows_original_and_sent_tokens_and_the_money(report: Report) -> None:
    saving = report.savings[0]
    text, page = render_markdown(report), render_html(report, {})
    for told in (f"{saving.tokens_in + saving.tokens_saved:,}", "Saved per 1,000 requests", saving.title):
        assert told in text
        assert told in page
    assert f"{saving.tokens_saved:,} more left out" in text


def test_a_run_without_compression_has_no_such_table() -> None:
    plain = compute(example_recorded(), catalogue.load(), prices=FEW)
    assert plain.savings == []
    assert savings(plain).empty
    assert "left out" not in render_markdown(plain)
