"""Anthropic's Python client: a small program of ours."""

from __future__ import annotations

from tests.suites.environments import Python
from tests.suites.suite import Script

VERSION = "2.14.0"

SUITE = Script("anthropic", VERSION, Python((f"anthropic=={VERSION}",)), "anthropic_checks.py")
