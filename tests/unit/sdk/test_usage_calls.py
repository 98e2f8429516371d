from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from quickthaw.resources import UsageRow
from tests.unit.sdk.fake_gateway import FakeGateway

Call = Callable[..., Any]

ROWS: list[dict[str, Any]] = [
    {
        "function": "chat", "phase": "", "requests": 3, "tokens_in": 40, "tokens_out": 50, "tokens_cached": 6,
        "fetched_bytes": {"disk": 1024},
    },
    {"function": "chat", "phase": "decode", "seconds": 1234.5, "memory_byte_seconds": 2e9},
]  # fmt: skip


def test_usage_is_asked_for_with_what_was_said_and_nothing_else(call: Call) -> None:
    for asked, line in (
        ({}, "GET /v1/usage?by=function%2Cphase"),
        (
            {"since": "24h", "until": 1764288000, "by": ["key"], "function": "chat"},
            "GET /v1/usage?since=24h&until=1764288000&function=chat&by=key",
        ),
    ):
        gateway = FakeGateway([httpx.Response(200, json={"object": "list", "data": ROWS})])
        assert call(gateway, "usage", **asked) == [UsageRow(**row) for row in ROWS]
        assert gateway.lines == [line]


def test_a_focus_file_comes_as_rows(call: Call) -> None:
    row = {"BilledCost": 1.5, "ChargeClass": None, "SkuId": "x"}
    gateway = FakeGateway([httpx.Response(200, json={"object": "list", "data": [row]})])
    assert call(gateway, "focus", since="1h", hourly_usd=0.0) == [row]
    assert gateway.lines == ["GET /v1/usage/focus?since=1h&hourly_usd=0.0"]
