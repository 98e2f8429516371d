"""Workers of a test's own, as the worker's tests have them."""

from __future__ import annotations

from tests.integration.worker.conftest import make_node

__all__ = ["make_node"]
