"""litellm has no suite for another's server: a small program of ours."""

from __future__ import annotations

from tests.suites.environments import Python
from tests.suites.suite import Script

VERSION = "1.110.2"

SUITE = Script("litellm", VERSION, Python((f"litellm=={VERSION}",)), "litellm_checks.py")
