"""Vercel's AI SDK: a small program of ours."""

from __future__ import annotations

from tests.suites.environments import Node
from tests.suites.suite import Script

VERSION = "7.0.173"

PACKAGES = (f"ai=={VERSION}", "@ai-sdk/openai-compatible==3.0.92", "zod==4.6.7")
SUITE = Script("vercel-ai", VERSION, Node(PACKAGES), "vercel_ai_checks.mjs")
