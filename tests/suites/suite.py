"""What a suite is: an environment, and a way to run it against a platform that is up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.suites.environments import Environment
from tests.suites.outcomes import Case, from_junit, from_lines

CHECKS = Path(__file__).parent / "checks"
RUN_SECONDS = 1800.0
OFFLINE = {
    "ANONYMIZED_TELEMETRY": "false",
    "AI_SDK_LOG_WARNINGS": "false",
    "DO_NOT_TRACK": "1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
}
"""Keeps clients from calling home."""


@dataclass(frozen=True)
class Place:
    """Where a suite runs: the platform's address and key, the suite's environment, and a folder for what it leaves."""

    url: str
    api_key: str
    environment: Path
    scratch: Path
    full: bool = False  # whether requests are made up until those that make them think it enough

    def variables(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment variables of a suite's processes: clients read the last two by themselves."""
        own = {
            "QUICKTHAW_URL": self.url,
            "QUICKTHAW_KEY": self.api_key,
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENAI_API_KEY": self.api_key,
            "SUITES_FULL": "1" if self.full else "",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUICKTHAW_", "PYTHON"))}
        return {**kept, **OFFLINE, **own, **(more or {})}


class Suite(Protocol):
    """One client's tests."""

    @property
    def name(self) -> str:
        """What `SUITES=` and the list of reasons call it."""

    @property
    def version(self) -> str:
        """The version of what is tested against."""

    @property
    def environment(self) -> Environment:
        """What it needs."""

    def run(self, place: Place) -> list[Case]:
        """Run it; RuntimeError where it did not even begin."""


@dataclass(frozen=True)
class Script:
    """A client without a suite of its own: a small program of ours that prints one line of JSON for each check."""

    name: str
    version: str
    environment: Environment
    program: str

    def run(self, place: Place) -> list[Case]:
        """Run the program with the environment's interpreter."""
        command = [str(self.environment.program(place.environment)), str(self._file(place))]
        done = execute(command, place)
        cases = from_lines(done.stdout.splitlines())
        if done.returncode or not cases:
            raise RuntimeError(f"{self.program} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"[-3000:])
        return cases

    def _file(self, place: Place) -> Path:
        """Return the program; one in JavaScript runs from its environment, where it finds its packages."""
        if not self.program.endswith(".mjs"):
            return CHECKS / self.program
        for source in CHECKS.glob("*.mjs"):
            (place.environment / source.name).write_text(source.read_text())
        return place.environment / self.program


@dataclass(frozen=True)
class PytestProgram:
    """A file of tests in `checks/` that runs under the environment's own pytest."""

    name: str
    version: str
    environment: Environment
    program: str
    configuration: str = "[pytest]\npython_files = *.py\n"
    test_seconds: int = 60

    def run(self, place: Place) -> list[Case]:
        """Run a copy of the file, away from this repository's own settings of pytest."""
        folder = place.scratch / "work"
        folder.mkdir(exist_ok=True)
        (folder / "pytest.ini").write_text(self.configuration)
        (folder / self.program).write_text((CHECKS / self.program).read_text())
        python = str(self.environment.program(place.environment))
        return pytest_cases([python, "-m", "pytest", f"--timeout={self.test_seconds}", self.program], place, folder)


def pytest_cases(
    command: Sequence[str], place: Place, folder: Path, more: Mapping[str, str] | None = None
) -> list[Case]:
    """Run pytest in a folder with a plain configuration, and return what it reports."""
    report = place.scratch / "report.xml"
    report.unlink(missing_ok=True)
    done = execute([*command, "--quiet", "-p", "no:cacheprovider", f"--junit-xml={report}"], place, folder, more)
    (place.scratch / "output.txt").write_text(done.stdout + done.stderr)
    if not report.exists():
        raise RuntimeError(f"{' '.join(command)} made no report:\n{(done.stdout + done.stderr)[-3000:]}")
    return from_junit(report.read_text())


def execute(
    command: Sequence[str], place: Place, folder: Path | None = None, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a suite's process to its end; RuntimeError where that takes more than RUN_SECONDS."""
    try:
        return subprocess.run(
            command,
            cwd=folder or place.scratch,
            env=place.variables(more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"it had not ended after {RUN_SECONDS:.0f} s") from error
