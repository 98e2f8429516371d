"""LlamaIndex with its model for servers like OpenAI's: a small program of ours."""

from __future__ import annotations

from tests.suites.environments import Python
from tests.suites.suite import Script

VERSION = "0.8.1"

SUITE = Script("llama-index", VERSION, Python((f"llama-index-llms-openai-like=={VERSION}",)), "llama_index_checks.py")
