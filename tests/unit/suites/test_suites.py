"""What the runner of the suites makes of reports, reasons and its table; the suites themselves run by `make suites`."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from tests.suites import reasons
from tests.suites.environments import Node, Python, at_version, ensure, version_of
from tests.suites.every import SUITES
from tests.suites.outcomes import Case, counts, from_junit, from_lines
from tests.suites.reasons import Failure, Reason, explain
from tests.suites.suite import CHECKS, PytestProgram, Script
from tests.suites.table import BEGIN, END, Result, markdown, replaced, rich_table, rows

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.api_resources.test_models.TestModels" name="test_list"/>
<testcase classname="a" name="b"><failure message="404">where it was</failure></testcase>
<testcase classname="a" name="c"><error message="no set-up"/></testcase>
<testcase classname="a" name="d"><skipped message="off"/></testcase>
</testsuite></testsuites>"""

ECHO = Reason("s", ("a.*",), "asks for what only a mock has", says="404")
FAILED = (Case("a.b", "failed", "was 404"), Case("a.c", "failed", "was 500"))


def test_a_junit_report_is_read_with_errors_as_failures() -> None:
    found = from_junit(JUNIT)
    assert [(case.name, case.verdict) for case in found] == [
        ("test_models.TestModels.test_list", "passed"),
        ("a.b", "failed"),
        ("a.c", "failed"),
        ("a.d", "skipped"),
    ]
    assert found[1].message == "404\nwhere it was"
    assert counts(found) == {"passed": 1, "failed": 2, "skipped": 1}


def test_lines_that_are_no_verdict_are_a_clients_own_talk() -> None:
    lines = ["warming up", "{}", "[1]", '{"name": "x", "verdict": "failed", "message": "m"}']
    assert from_lines(lines) == [Case("x", "failed", "m")]


def test_a_failure_is_explained_by_name_and_message_together() -> None:
    assert explain("s", FAILED, [ECHO]) == [Failure(FAILED[0], ECHO), Failure(FAILED[1], None)]
    assert [one.reason for one in explain("other", FAILED, [ECHO])] == [None, None]
    assert explain("s", [Case("a.b", "passed")], [ECHO]) == []


def test_a_result_is_explained_only_if_it_ran_and_each_failure_has_a_reason() -> None:
    assert Result("s", "1", FAILED[:1], explain("s", FAILED[:1], [ECHO])).explained
    assert not Result("s", "1", FAILED, explain("s", FAILED, [ECHO])).explained
    assert not Result("s", "1", broken="no pip").explained


def test_the_table_counts_reasons_and_says_what_did_not_run() -> None:
    results = [Result("s", "1", FAILED, explain("s", FAILED, [ECHO])), Result("t", "2", broken="no pip\nat all")]
    first, second = rows(results)
    assert first == ("s", "1", "0", "2", "0", "1 × asks for what only a mock has\n1 × no known reason", "1")
    assert second[5] == "did not run: no pip"
    screen = Console(record=True, width=200)
    screen.print(rich_table(results))
    assert "asks for what only a mock has" in screen.export_text()


def test_the_document_keeps_what_is_around_the_table_and_the_rows_of_suites_that_did_not_run() -> None:
    failed = Result("s", "1", FAILED, explain("s", FAILED, [ECHO]))
    document = f"before\n{BEGIN}\n{END}\nafter\n"
    document = replaced(document, markdown([failed, Result("t", "2")], "2026-01-02, `abc`", document))
    assert document.startswith(f"before\n{BEGIN}\n| suite | version |")
    assert "mock has<br>1 × no known reason" in document
    document = replaced(document, markdown([Result("s", "3")], "2026-01-03, `def`", document))
    assert [line for line in document.splitlines() if line.startswith(("| s |", "| t |"))] == [
        "| s | 3 | 0 | 0 | 0 |  | 0 | 2026-01-03, `def` |",
        "| t | 2 | 0 | 0 | 0 |  | 0 | 2026-01-02, `abc` |",
    ]
    assert document.endswith(f"|\n{END}\nafter\n")
    with pytest.raises(ValueError, match="lacks the lines"):
        replaced("nothing", "")


class Counting(Node):
    def fill(self, folder: Path) -> None:
        (folder / "made").write_text(str(folder.exists()))


def test_an_environment_is_made_again_only_for_other_packages(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    assert ensure(Counting(("a==1",)), folder)
    assert not ensure(Counting(("a==1",)), folder)
    (folder / "left").touch()
    assert ensure(Counting(("a==2",)), folder)
    assert not (folder / "left").exists()


@pytest.mark.parametrize("name", SUITES)
def test_every_package_of_a_suite_has_an_exact_version_and_its_program_exists(name: str) -> None:
    suite = SUITES[name]
    environment = suite.environment
    sources = environment.sources if isinstance(environment, Python) else ()
    for package in (*environment.packages, *sources):
        assert version_of(package).strip(), package
    if isinstance(suite, Script | PytestProgram):
        assert (CHECKS / suite.program).is_file()


def test_npm_writes_a_version_behind_an_at_sign() -> None:
    assert at_version("@ai-sdk/openai-compatible==3.0.92") == "@ai-sdk/openai-compatible@3.0.92"


def test_the_listed_reasons_are_of_suites_that_exist_and_none_is_listed_for_nothing() -> None:
    for reason in reasons.read():
        assert reason.suite in SUITES
        assert reason.tests
        assert reason.reason
