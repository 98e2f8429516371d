"""smolagents: a small program of ours."""

from __future__ import annotations

from tests.suites.environments import Python
from tests.suites.suite import Script

VERSION = "1.26.0"

SUITE = Script("smolagents", VERSION, Python((f"smolagents[openai]=={VERSION}",)), "smolagents_checks.py")
