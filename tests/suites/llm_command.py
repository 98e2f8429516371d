"""The command llm: a small program of ours."""

from __future__ import annotations

from tests.suites.environments import Python
from tests.suites.suite import Script

VERSION = "0.36"

SUITE = Script("llm", VERSION, Python((f"llm=={VERSION}",)), "llm_checks.py")
