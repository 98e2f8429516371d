"""LangChain's standard integration tests, as the authors of any integration with LangChain run them."""

from __future__ import annotations

from tests.suites.environments import Python
from tests.suites.suite import PytestProgram

VERSION = "1.1.9"

PACKAGES = (f"langchain-tests=={VERSION}", "langchain-openai==1.7.4", "pytest-timeout==2.4.0")
CONFIGURATION = "[pytest]\nasyncio_mode = auto\npython_files = *.py\n"
SUITE = PytestProgram("langchain", VERSION, Python(PACKAGES), "langchain_standard.py", CONFIGURATION)
