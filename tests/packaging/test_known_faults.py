"""Published faults of pinned dependencies fail `make check`, unless they are accepted with a reason."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.packaging import known_faults
from tests.packaging.roots import ROOT

REPORT: dict[str, Any] = {
    "dependencies": [
        {"name": "good", "version": "1", "vulns": []},
        {"name": "skipped", "skip_reason": "not there"},
        {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["3"]}]},
    ]
}


def answering(monkeypatch: pytest.MonkeyPatch, stdout: str, stderr: str = "") -> None:
    done = subprocess.CompletedProcess([], 1, stdout, stderr)
    monkeypatch.setattr(known_faults, "_run", lambda _requirements: done)


def test_a_fault_is_named_with_the_version_that_mends_it() -> None:
    assert list(known_faults.unaccepted(REPORT)) == ["bad 2: CVE-1, PYSEC-1, fixed in 3"]


def test_a_fault_that_is_accepted_by_any_of_its_names_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_faults, "ACCEPTED", {"CVE-1": "it is not used"})
    assert list(known_faults.unaccepted(REPORT)) == []


@pytest.mark.parametrize(
    ("stdout", "stderr", "reason"),
    [
        ("", "WARNING: a\nERROR: no route to host\n", "ERROR: no route to host"),
        ('{"dependencies": [{"name": "a", "skip_reason": "not found"}]}', "", "not found"),
        ("", "", "it said nothing"),
    ],
    ids=["no network", "no data", "nothing"],
)
def test_without_its_data_it_says_that_it_was_not_run_and_where_the_last_findings_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stdout: str, stderr: str, reason: str
) -> None:
    answering(monkeypatch, stdout, stderr)
    known_faults.main()
    assert capsys.readouterr().out == f"pip-audit was NOT run ({reason}); docs/advisories.md has what was known last\n"
    assert (ROOT / known_faults.RECORD).is_file()


def test_what_make_check_runs_is_this(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "python -m tests.packaging.known_faults" in (Path(ROOT) / "Makefile").read_text()
    answering(monkeypatch, '{"dependencies": [{"name": "bad", "version": "2", "vulns": [{"id": "X"}]}]}')
    with pytest.raises(SystemExit, match="1"):
        known_faults.main()
