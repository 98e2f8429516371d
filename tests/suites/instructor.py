"""instructor has no suite for another's server: a small program of ours."""

from __future__ import annotations

from tests.suites.environments import Python
from tests.suites.suite import Script

VERSION = "1.17.0"

SUITE = Script("instructor", VERSION, Python((f"instructor=={VERSION}",)), "instructor_checks.py")
