"""A test whose log or error holds half of a character ends as any other, also in a run of several processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.encodable_reports import encodable

TESTS = """
    import logging

    def test_that_logs_it(): logging.getLogger().warning("\\ud800")

    def test_that_fails_with_it(): assert not "\\udfff"
"""

ROOT = Path(__file__).parents[2]

pytest_plugins = ("pytester",)


@pytest.mark.parametrize("options", [[], ["--numprocesses", "1"]], ids=["one process", "xdist"])
def test_such_a_report_is_sent(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: Sequence[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(TESTS)
    pytester.runpytest_subprocess("-p", "tests.encodable_reports", *options).assert_outcomes(passed=1, failed=1)


def test_only_what_cannot_be_encoded_is_changed() -> None:
    given = {"sections": [("log \ud800", "é")], "\udc00": ("a", 1, None)}
    assert encodable(given) == {"sections": [("log \\ud800", "é")], "\\udc00": ("a", 1, None)}
