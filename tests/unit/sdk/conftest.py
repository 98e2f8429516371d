"""Both clients under one name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.sdk.fake_gateway import call_async, call_sync

Call = Callable[..., Any]


@pytest.fixture(params=[call_sync, call_async], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """`call(gateway, method, *args)` of each client in turn."""
    chosen: Call = request.param
    return chosen
