"""pydantic-ai: a small program of ours."""

from __future__ import annotations

from tests.suites.environments import Python
from tests.suites.suite import Script

VERSION = "2.68.0"

SUITE = Script("pydantic-ai", VERSION, Python((f"pydantic-ai-slim[openai]=={VERSION}",)), "pydantic_ai_checks.py")
