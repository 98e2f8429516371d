"""Why a test fails that is known to fail: one entry a reason in `reasons.toml`. Pure but for reading that file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tests.suites.outcomes import Case

FILE = Path(__file__).with_name("reasons.toml")


@dataclass(frozen=True, slots=True)
class Reason:
    """Accounts for failed tests whose name fits one of `tests` (globs) and whose message holds `says` (a regex)."""

    suite: str
    tests: Sequence[str]
    reason: str
    says: str = ""
    ours: bool = False

    def explains(self, suite: str, case: Case) -> bool:
        """Return whether a failure of a suite has this reason."""
        named = suite == self.suite and any(fnmatchcase(case.name, pattern) for pattern in self.tests)
        return named and re.search(self.says, case.message, re.DOTALL) is not None


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed test and the reason that is known for it."""

    case: Case
    reason: Reason | None


def read(file: Path = FILE) -> list[Reason]:
    """Return the known reasons."""
    return [Reason(**entry) for entry in tomllib.loads(file.read_text()).get("reason", ())]


def explain(suite: str, cases: Iterable[Case], known: Sequence[Reason]) -> list[Failure]:
    """Return the failed tests of a suite, each with the first known reason that explains it."""
    failed = (case for case in cases if case.verdict == "failed")
    return [Failure(case, next((one for one in known if one.explains(suite, case)), None)) for case in failed]
