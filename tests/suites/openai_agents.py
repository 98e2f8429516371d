"""OpenAI's Agents SDK: a small program of ours."""

from __future__ import annotations

from tests.suites.environments import Python
from tests.suites.suite import Script

VERSION = "0.24.0"

SUITE = Script("openai-agents", VERSION, Python((f"openai-agents=={VERSION}",)), "openai_agents_checks.py")
