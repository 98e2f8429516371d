"""Anthropic's client in TypeScript: a small program of ours."""

from __future__ import annotations

from tests.suites.environments import Node
from tests.suites.suite import Script

VERSION = "1.14.0"

SUITE = Script("anthropic-js", VERSION, Node((f"@anthropic-ai/sdk=={VERSION}", "zod==4.6.7")), "anthropic_checks.mjs")
