"""What of its control group this process may hand on, for tests that need all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quickthaw_platform.control_groups import delegation

OWN = delegation.look()
RUN_BELOW_ANOTHER = "make test-control-groups runs this below another kernel; here it cannot"

needs_all_controllers = pytest.mark.skipif(bool(OWN.why), reason=f"{RUN_BELOW_ANOTHER}: {OWN.why}")


def taken() -> Path:
    """Return the folder below which groups with all limits can be made; what stands against it skips the test."""
    found = delegation.take(OWN)
    if found.why or found.folder is None:
        pytest.skip(f"{RUN_BELOW_ANOTHER}: {found.why}")
    return found.folder
