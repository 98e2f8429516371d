"""Looks for published faults of the pinned dependencies with pip-audit: `python -m tests.packaging.known_faults`.

Ends with status 1 where there is one that ACCEPTED does not name. Where pip-audit cannot reach its data it says so, and
what was found when it last could; that is no failure, for a machine without a network can do nothing about it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.packaging.roots import ROOT

ACCEPTED: Mapping[str, str] = {}
"""Ids of faults that do no harm here, each with the reason."""

RECORD = "docs/advisories.md"
SECONDS = 600


def main() -> None:
    """Look, and say what was found."""
    done = _run(ROOT / "constraints.txt")
    report = _report(done.stdout)
    known = [package for package in report["dependencies"] if "skip_reason" not in package]
    if not known:
        print(f"pip-audit was NOT run ({_reason(report, done.stderr)}); {RECORD} has what was known last")
        return
    faults = list(unaccepted(report))
    print(
        "\n".join(faults) or f"no published fault in {len(known)} of {len(report['dependencies'])} pinned dependencies"
    )
    sys.exit(1 if faults else 0)


def unaccepted(report: Mapping[str, Any]) -> Iterator[str]:
    """Give a line for each fault in a report of pip-audit that is not accepted."""
    for package in report["dependencies"]:
        for fault in package.get("vulns", ()):
            ids = {fault["id"], *fault.get("aliases", ())}
            if not ids & ACCEPTED.keys():
                fixed = ", ".join(fault.get("fix_versions", ())) or "no version yet"
                yield f"{package['name']} {package['version']}: {', '.join(sorted(ids))}, fixed in {fixed}"


def _run(requirements: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(requirements), "--no-deps", "--disable-pip"]
    options = ["--format", "json", "--progress-spinner", "off"]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=SECONDS)


def _report(text: str) -> Mapping[str, Any]:
    """Return pip-audit's report; one of nothing where it has written none."""
    try:
        report: dict[str, Any] = json.loads(text)
    except ValueError:
        return {"dependencies": []}
    return report


def _reason(report: Mapping[str, Any], said: str) -> str:
    """Say why it knows nothing: the index has no data on faults, or it was not reached."""
    skipped = [package["skip_reason"] for package in report["dependencies"]]
    return skipped[0] if skipped else (said.strip().splitlines() or ["it said nothing"])[-1]


if __name__ == "__main__":
    main()
