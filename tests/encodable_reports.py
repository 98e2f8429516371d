"""Reports of tests that any process can be sent: what a test prints, logs or asserts may hold halves of characters.

A text with a lone surrogate has no UTF-8. xdist sends reports as UTF-8, and ends the whole run at one that has none.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Show halves of characters as Python writes them."""
    return encodable((yield))


def encodable(value: Any) -> Any:
    """Return a value of dictionaries, lists and texts in which each text can be encoded."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {encodable(key): encodable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(encodable, value))
    return value
