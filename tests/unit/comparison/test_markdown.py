from __future__ import annotations

import re
from dataclasses import replace

import pytest

from quickthaw_platform.comparison.compute import compute
from quickthaw_platform.comparison.markdown import render_markdown, table_text, text
from quickthaw_platform.comparison.report import Report
from quickthaw_platform.comparison.tables.cells import Cell, Column, Group, Line, Table
from quickthaw_platform.prices.catalogue import load
from tests.unit.comparison.example_report import example_report
from tests.unit.comparison.example_run import example_recorded


@pytest.fixture(scope="module")
def made() -> str:
    return render_markdown(example_report())


def test_it_says_what_the_report_says(made: str) -> None:
    report = example_report()
    for said in (
        report.answer.sentence, report.answer.holds_for, report.header.commit, report.header.command,
        *(threat.title for threat in report.threats), *(row.backend for row in report.rows), *report.missing,
    ):  # fmt: skip
        assert text(said) in made or said in made


def test_all_its_tables_are_whole(made: str) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", made, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1


def test_figures_are_linked_where_they_will_lie(made: str) -> None:
    assert re.findall(r"!\[[^]]+\]\(figures/[a-z-]+(?:-\d+)?\.svg\)", made)
    assert "](elsewhere/" in render_markdown(example_report(), "elsewhere")


def test_no_paragraphs_run_into_each_other(made: str) -> None:
    assert "\n\n\n\n" not in made
    for heading in re.finditer(r"^#+ .*$", made, re.MULTILINE):
        assert made[heading.end() :].startswith("\n\n")


def test_too_few_is_said_instead_of_a_number(made: str) -> None:
    assert "too few" in made


def test_markup_in_names_is_not_taken_for_markup() -> None:
    assert text("a|b\n*c* <i>") == "a\\|b \\*c\\* &lt;i>"


def test_an_empty_table_is_nothing_and_groups_have_headings() -> None:
    table = Table("t", "What.", "of", (Column("x", "s"), Column("y", text=True)), ())
    assert table_text(table) == ""
    full = replace(table, groups=(Group((Line("a", (Cell("1", "[0, 2]"), Cell("b"))),), "G"),), notes=("N.",))
    assert table_text(full).splitlines() == [
        "What.", "", "| of | x (s) | y |", "| --- | ---: | --- |", "| **G** |  |  |", "| a | 1 [0, 2] | b |", "", "N.",
    ]  # fmt: skip


@pytest.mark.parametrize("keep", ["all", "nothing"])
def test_what_was_computed_can_be_written(keep: str) -> None:
    recorded = example_recorded()
    if keep == "nothing":
        recorded = replace(recorded, results=[], usage=[], timeline=[], simulated=[])
    report: Report = compute(recorded, load(), prices=["runpod-l4", "aws-lambda-x86", "ec2-m7i-xlarge"])
    assert text(report.answer.sentence) in render_markdown(report)
