"""Small scenarios for the tests."""

from __future__ import annotations

from typing import Any

from quickthaw_platform.simulator.scenario import Scenario

DEVICE = {
    "prefill_tokens_per_second": 1000.0,
    "decode_tokens_per_second": 10.0,
    "init_seconds": {"dram": 0.5, "disk": 0.5, "remote": 0.5},
}


def tables(**changes: Any) -> dict[str, Any]:
    """Return a scenario as TOML would give it: 2 nodes for two instances each; `function` and `node` change those."""
    function: dict[str, Any] = {
        "name": "f", "count": changes.pop("functions", 1), "zipf": changes.pop("zipf", 0.0), "checkpoint": "1GB",
        "memory": "1GB", "tokens_in": 1000, "tokens_out": 10,
    }  # fmt: skip
    if "tokens" in changes:
        function["tokens_in"] = function["tokens_out"] = changes.pop("tokens")
    node = {
        "count": 2, "device": "gpu", "memory": "2GB", "dram": "2GB", "disk": "100GB",
        "bandwidths": {"dram": "10GB", "disk": "1GB", "remote": "100MB"},
    }  # fmt: skip
    return {
        "seed": 1, "invocations": 100, "devices": {"gpu": DEVICE}, "arrivals": {"kind": "poisson", "rate": 1.0},
        "nodes": [node | changes.pop("node", {})], "functions": [function | changes.pop("function", {})],
    } | changes  # fmt: skip


def scenario(**changes: Any) -> Scenario:
    """Return it checked."""
    return Scenario.model_validate(tables(**changes))
