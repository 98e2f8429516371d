"""LangChain's standard integration tests, as the authors of any integration with LangChain run them."""

from __future__ import annotations

from tests.suites.environments import Python
from tests.suites.suite import PytestProgram

VERSION = "1.1.9"

PACKAGES = (f"langchain-tests=={VERSION}", "langchain-openai==1.7.4", "pytest-timeout==2.4.0")
CONFIGURATION = """[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = session
asyncio_default_test_loop_scope = session
python_files = *.py
"""
"""One event loop for all, since LangChain keeps one client for all."""

SUITE = PytestProgram("langchain", VERSION, Python(PACKAGES), "langchain_standard.py", CONFIGURATION)
